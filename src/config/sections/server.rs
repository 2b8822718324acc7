//! `[server]`: the HTTP door and the process.

use std::net::SocketAddr;

use super::callback;
use super::token::{each_token_once, token};
use crate::config::load::reader::{Field, Read, Section};
use crate::config::setting::{Kind, custom, duration, list, parsed, settings, size_in_memory};
use crate::config::settings::{ServerSettings, Token};
use crate::domain::callback_host::CallbackHosts;
use crate::domain::egress::Network;
use crate::domain::web_place::{BasePath, WebOrigin};

/// The largest request that may be allowed, in bytes: it is held in memory.
const BODY_BYTES_MAX: u64 = 1 << 30;
/// The longest stop that may be allowed, in milliseconds: a supervisor kills sooner.
const DRAIN_MS_MAX: u64 = 3_600_000;

settings! {
    struct Server in "server" of ServerSettings {
        /// Where the API listens. With an address that is not loopback and without tokens, the daemon refuses to start.
        listen: SocketAddr = listen().or(SocketAddr::from(([127, 0, 0, 1], 7411))), |it| it.listen;
        /// Who may call: a list of `{ name = "shop", sha256 = "64 hex digits", scopes = ["send", "read"] }`, each made by
        /// `tidegate token new NAME`, with [`expires` and `queues`](#tokens) if you want. Scopes: `send`, `read`, `work`
        /// (claim and settle, see [pull](pull.md)), `receipt` (report what became of accepted messages, for downstreams),
        /// `operate` (everything else, and also `work` and `receipt`), `admin` (all of these; it alone may change run-time
        /// keys, and what a shared limit has used). Without tokens, every program on this machine may do everything.
        tokens: Vec<Token> = list(token()).or(Vec::new()), |it| it.tokens.clone();
        /// The largest request with one message.
        body_limit: usize = size_in_memory(1..=BODY_BYTES_MAX).or(256 << 10), |it| it.body_limit_bytes;
        /// The largest batch request. NDJSON is read as a stream, a JSON array is held in memory.
        batch_body_limit: usize =
            size_in_memory(1..=BODY_BYTES_MAX).or(64 << 20), |it| it.batch_body_limit_bytes;
        /// How long a graceful stop may take to finish what is being sent.
        drain_timeout: u64 = duration(0..=DRAIN_MS_MAX).or(30_000), |it| it.drain_timeout_ms;
        /// Hosts that messages may name in `callback.url`: `shop.example` (any port) or `shop.example:8443`. See
        /// [callbacks](outcomes.md#callbacks).
        callback_hosts: CallbackHosts =
            callback::hosts().or(CallbackHosts::default()), |it| it.callback_hosts.clone();
        /// Networks that the urls of messages may reach although they are not public: `10.1.0.0/16`. What the configuration
        /// names itself needs none; see [messages with their own url](message-urls.md#where-they-may-go).
        egress_allow: Vec<Network> =
            list(parsed::<Network>("a network")).or(Vec::new()), |it| it.egress_allow.iter().copied().collect();
        /// The path under which a reverse proxy shows this daemon, such as `/tidegate`: links of the [dashboard](dashboard.md) begin
        /// with it. The proxy may remove it from the requests that it passes on, or leave it there.
        base_path: BasePath =
            parsed::<BasePath>("a path").or(BasePath::default()), |it| it.base_path.clone();
        /// Origins whose pages may call the API in a browser, such as `https://ops.example`. They send a token as
        /// every other caller; without tokens they may do everything.
        origins: Vec<WebOrigin> =
            list(parsed::<WebOrigin>("an origin")).or(Vec::new()), |it| it.origins.clone();
    }
}

pub(in crate::config) fn read(field: &Field<'_>) -> Read<ServerSettings> {
    field.section(&[], |section| {
        let it = Server::of(section);
        let (listen, tokens) = (it.listen, it.tokens);
        if let Ok(tokens) = &tokens {
            let once = each_token_once(section, tokens);
            if let Ok(listen) = &listen {
                guarded(section, *listen, tokens)?;
            }
            once?;
        }
        Ok(ServerSettings {
            listen: listen?,
            tokens: tokens?,
            body_limit_bytes: it.body_limit?,
            batch_body_limit_bytes: it.batch_body_limit?,
            drain_timeout_ms: it.drain_timeout?,
            callback_hosts: it.callback_hosts?,
            egress_allow: it.egress_allow?.into(),
            base_path: it.base_path?,
            origins: it.origins?,
        })
    })
}

fn listen() -> impl Kind<Value = SocketAddr> {
    custom("address:port", read_listen, |address: &SocketAddr| address.to_string().into())
}

fn read_listen(field: &Field<'_>) -> Read<SocketAddr> {
    field.parse(|text| {
        let address = match text.strip_prefix("localhost:") {
            Some(port) => format!("127.0.0.1:{port}"),
            None => text.to_owned(),
        };
        address.parse().map_err(|_| {
            format!(
                "{text:?} is not a valid address to listen on; expected address:port, for example 127.0.0.1:7411, 0.0.0.0:7411 or [::1]:7411"
            )
        })
    })
}

/// Beyond loopback everybody on the network could send and purge.
fn guarded(section: &Section<'_>, listen: SocketAddr, tokens: &[Token]) -> Read<()> {
    if tokens.is_empty() && !listen.ip().to_canonical().is_loopback() {
        return Err(section.wrong(
            "listen",
            format!(
                "{listen} can be reached from other machines, and server.tokens is empty; make one with `tidegate token new NAME` and add the line it prints, or listen on 127.0.0.1"
            ),
        ));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use crate::config::testing::{errors_of, settings_of};
    use crate::config::{Scope, ServerSettings};

    const HASH: &str = "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08";

    fn server(text: &str) -> ServerSettings {
        settings_of(&format!("[server]\n{text}")).server
    }

    fn error(text: &str) -> String {
        errors_of(&format!("[server]\n{text}"))
    }

    #[test]
    fn defaults_are_the_contracts() {
        let server = server("");
        assert_eq!(server.listen, "127.0.0.1:7411".parse().unwrap());
        assert!(server.tokens.is_empty());
        assert_eq!(server.body_limit_bytes, 256 << 10);
        assert_eq!(server.batch_body_limit_bytes, 64 << 20);
        assert_eq!(server.drain_timeout_ms, 30_000);
        assert!(server.callback_hosts.is_empty());
    }

    #[test]
    fn tokens_carry_what_they_may_do() {
        let server = server(&format!(
            "listen = \"0.0.0.0:80\"\ntokens = [{{ name = \"shop\", sha256 = \"{HASH}\", scopes = [\"send\", \"operate\"] }}]"
        ));
        assert_eq!(server.tokens[0].name, "shop");
        assert_eq!(server.tokens[0].sha256[..3], [0x9f, 0x86, 0xd0]);
        assert_eq!(server.tokens[0].scopes, [Scope::Send, Scope::Operate]);
    }

    #[test]
    fn beyond_loopback_only_with_tokens() {
        for open in ["0.0.0.0:7411", "192.168.1.1:80", "[::]:7411", "[::ffff:10.0.0.1]:80"] {
            let error = error(&format!("listen = {open:?}"));
            assert!(error.contains("server.listen: "), "{error}");
            assert!(error.contains("`tidegate token new NAME`"), "{error}");
        }
        for closed in
            ["127.0.0.1:0", "127.8.8.8:80", "[::1]:80", "[::ffff:127.0.0.1]:1", "localhost:9"]
        {
            let _server = server(&format!("listen = {closed:?}"));
        }
    }

    #[test]
    fn bad_values_are_refused() {
        for (text, part) in [
            ("listen = \"7411\"", "\"7411\" is not a valid address to listen on"),
            ("listen = 7411", "\"7411\" is not a valid address to listen on"),
            ("body_limit = \"0B\"", "server.body_limit: found \"0B\", expected 1B to 1GiB"),
            ("body_limit = 1024", "\"1024\" is not a valid size"),
            ("drain_timeout = \"soon\"", "\"soon\" is not a valid duration"),
            ("listn = \"x\"", "server.listn: unknown key; did you mean listen?"),
            ("callback_hosts = \"h\"", "server.callback_hosts: found a text, expected a list"),
            (
                "callback_hosts = [\"https://shop.example\"]",
                "server.callback_hosts[0]: \"https://shop.example\" is not a valid host; expected for example \"shop.example\"",
            ),
            ("base_path = \"tidegate\"", "server.base_path: \"tidegate\" is not a valid path"),
            ("origins = [\"*\"]", "server.origins[0]: \"*\" is not a valid origin"),
            ("tokens = \"shop\"", "found a text, expected a list"),
            ("tokens = [{ name = \"a\" }]", "server.tokens[0].sha256: is missing"),
            ("tokens = [{ name = \"a\" }]", "server.tokens[0].scopes: is missing"),
            ("tokens = [{ name = \"\" }]", "server.tokens[0].name: found an empty text"),
            ("tokens = [{ scopes = [] }]", "scopes: found an empty list"),
            ("tokens = [{ scopes = [\"root\"] }]", "found \"root\", expected \"send\" or"),
            ("tokens = [{ token = \"t\" }]", "server.tokens[0].token: unknown key"),
        ] {
            let error = error(text);
            assert!(error.contains(part), "{text}: {error}");
        }
    }

    #[test]
    fn a_token_in_place_of_its_hash_is_not_shown() {
        let error =
            error("tokens = [{ name = \"a\", sha256 = \"tg_verysecret\", scopes = [\"read\"] }]");
        assert!(error.contains("found 13 characters"), "{error}");
        assert!(!error.contains("verysecret"));
    }

    #[test]
    fn each_token_and_name_stands_once() {
        let token = |name: &str, hash: &str| {
            format!("{{ name = \"{name}\", sha256 = \"{hash}\", scopes = [\"read\"] }}")
        };
        let other = HASH.replace('9', "8");
        let twice = error(&format!("tokens = [{}, {}]", token("a", HASH), token("a", &other)));
        assert!(twice.contains("two tokens are named \"a\""), "{twice}");
        let same = error(&format!("tokens = [{}, {}]", token("a", HASH), token("b", HASH)));
        assert!(same.contains("\"a\" and \"b\" are the same token"), "{same}");
    }
}
