//! `[telemetry]`: where the traces of messages go.

use url::Url;

use crate::config::load::reader::{Field, Read};
use crate::config::setting::{Kind, custom, number, settings};
use crate::config::settings::TelemetrySettings;

const EXPECTED: &str = "expected for example http://127.0.0.1:4318";

settings! {
    struct Telemetry in "telemetry" of TelemetrySettings {
        /// A collector that takes traces by OTLP over HTTP (protobuf), such as `http://127.0.0.1:4318`; `/v1/traces` is added to it.
        /// Without one no traces are made, see [traces](traces.md).
        otlp: Option<Url> =
            collector().unset_means("none").example("\"http://127.0.0.1:4318\""), |it| it.otlp.clone();
        /// Which share of the traces that begin here is made: `0.01` is one of a hundred. A message whose producer sent a
        /// `traceparent` is traced if its producer says so, whatever stands here.
        sample: f64 = number(0.0..=1.0).or(1.0), |it| it.sample;
    }
}

pub(in crate::config) fn read(field: &Field<'_>) -> Read<TelemetrySettings> {
    field.section(&[], |section| {
        let it = Telemetry::of(section);
        Ok(TelemetrySettings { otlp: it.otlp?, sample: it.sample? })
    })
}

fn collector() -> impl Kind<Value = Url> {
    custom("`http://`, `https://`", read_collector, |url: &Url| {
        url.as_str().trim_end_matches('/').into()
    })
}

// No refusal repeats the text: a password may stand in it.
fn read_collector(field: &Field<'_>) -> Read<Url> {
    field.parse(|text| {
        let url = Url::parse(text)
            .map_err(|error| format!("is not a valid url ({error}); {EXPECTED}, or leave it out"))?;
        if !matches!(url.scheme(), "http" | "https") {
            return Err(format!("has a scheme that no collector is called by here; {EXPECTED}"));
        }
        if !url.username().is_empty() || url.password().is_some() {
            return Err(format!(
                "has a user or a password, which is not sent; name a collector of your own that knows the credentials, {EXPECTED}"
            ));
        }
        if url.query().is_some() || url.fragment().is_some() {
            return Err(format!("has a query or a fragment; {EXPECTED}"));
        }
        Ok(url)
    })
}

#[cfg(test)]
mod tests {
    use crate::config::testing::{errors_of, settings_of};
    use crate::config::{render, restart_needed};

    #[test]
    fn no_traces_are_made_unless_a_collector_is_named() {
        let telemetry = settings_of("").telemetry;
        assert_eq!((telemetry.otlp, telemetry.sample), (None, 1.0));
        let text = "[telemetry]\notlp = \"http://127.0.0.1:4318\"\nsample = 0.25";
        let settings = settings_of(text);
        assert_eq!(settings.telemetry.otlp.as_ref().unwrap().port(), Some(4318));
        let shown = render(&settings);
        assert!(shown.contains(text), "{shown}");
        assert_eq!(
            restart_needed(&settings_of(""), &settings),
            ["telemetry.otlp", "telemetry.sample"]
        );
    }

    #[test]
    fn bad_values_are_refused() {
        for (text, part) in [
            ("otlp = \"127.0.0.1:4318\"", "telemetry.otlp: is not a valid url"),
            ("otlp = \"\"", "expected for example http://127.0.0.1:4318, or leave it out"),
            ("otlp = \"grpc://h:4317\"", "has a scheme that no collector is called by here"),
            ("otlp = \"http://u:hunter2@h\"", "telemetry.otlp: has a user or a password"),
            ("otlp = \"http://h/?key=hunter2\"", "has a query or a fragment"),
            ("sample = 1.5", "telemetry.sample: found 1.5, expected a number from 0 to 1"),
            ("sample = -1", "expected a number from 0 to 1"),
            ("oltp = \"http://h\"", "telemetry.oltp: unknown key; did you mean otlp?"),
        ] {
            let error = errors_of(&format!("[telemetry]\n{text}"));
            assert!(error.contains(part), "{text}: {error}");
            assert!(!error.contains("hunter2"), "{error}");
        }
    }
}
