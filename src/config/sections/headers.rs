//! `headers` of a downstream: what is sent with every call.
//!
//! Owns how headers of several layers come together; which names and values are possible is in
//! `domain::headers`. Values may be secrets and are never shown.

use http::HeaderName;

use crate::config::load::reader::{Field, Read};
use crate::config::load::sources::Layer;
use crate::config::setting::{Bounds, Form, Kind, Shown, custom};
use crate::domain::endpoint::Secret;
use crate::domain::headers::check_header;
use crate::domain::message::HEADERS_MAX;

/// Headers with values that may be secrets. `even_none`: to have none is not the default, and is shown.
pub(in crate::config) fn headers(even_none: bool) -> impl Kind<Value = Vec<(HeaderName, Secret)>> {
    let show = move |headers: &Vec<(HeaderName, Secret)>| {
        let names = headers.iter().map(|(name, _)| name.to_string()).collect();
        Shown::Headers { names, even_none }
    };
    custom("a table of headers", read, show)
        .shown_as(Form::List(Box::new(Form::Plain(Bounds::Told("the name of a header")))))
}

fn read(field: &Field<'_>) -> Read<Vec<(HeaderName, Secret)>> {
    read_each(field, |name, field| field.parse(|value| header(name, value)))
}

/// In the order of their names. A name in two spellings is a mistake within one layer; across
/// layers the higher one wins, as the environment cannot spell in capitals.
pub(in crate::config) fn read_each<T>(
    field: &Field<'_>,
    read: impl Fn(&str, &Field<'_>) -> Read<(HeaderName, T)>,
) -> Read<Vec<(HeaderName, T)>> {
    let mut headers: Vec<(HeaderName, T, Layer)> = Vec::new();
    field.entries(|name, field| {
        let (header, value) = read(name, field)?;
        let layer = Layer::of(&field.origin());
        match headers.iter_mut().find(|(other, ..)| *other == header) {
            None => headers.push((header, value, layer)),
            Some((.., held)) if *held == layer => {
                return Err(field.wrong("is given twice, in two spellings; remove one"));
            }
            Some(lower) if lower.2 < layer => *lower = (header, value, layer),
            Some(_) => {}
        }
        Ok(())
    })?;
    if headers.len() > HEADERS_MAX {
        return Err(field.wrong(format!("found {}, expected at most {HEADERS_MAX}", headers.len())));
    }
    headers.sort_by(|(a, ..), (b, ..)| a.as_str().cmp(b.as_str()));
    Ok(headers.into_iter().map(|(name, value, _)| (name, value)).collect())
}

/// A header that may be sent along.
pub(in crate::config) fn header(name: &str, value: &str) -> Result<(HeaderName, Secret), String> {
    check_header(name, value)?;
    let name = HeaderName::from_bytes(name.as_bytes()).map_err(|error| error.to_string())?;
    Ok((name, Secret::new(value.to_owned())))
}

#[cfg(test)]
mod tests {
    use crate::config::testing::{load_with, queue_errors};
    use crate::domain::policy::Downstream;

    fn headers(text: &str, environment: &[(&str, &str)]) -> Vec<(String, String)> {
        let text = format!("[queues.q.downstream]\nurl = \"http://h\"\nheaders = {text}");
        let settings = load_with(&text, environment, &[]).unwrap();
        let queue = settings.queues.values().next().unwrap();
        let Downstream::Http(http) = &queue.downstream else { panic!() };
        http.headers.iter().map(|(n, v)| (n.to_string(), v.expose().to_owned())).collect()
    }

    fn pair(name: &str, value: &str) -> (String, String) {
        (name.to_owned(), value.to_owned())
    }

    #[test]
    fn values_take_secrets_and_names_lose_their_case() {
        let found = headers("{ X-B = \"2\", Authorization = \"Bearer ${T}\" }", &[("T", "tok")]);
        assert_eq!(found, [pair("authorization", "Bearer tok"), pair("x-b", "2")]);
    }

    #[test]
    fn the_environment_overrides_whatever_the_spelling() {
        let env = [("TIDEGATE__QUEUES__Q__DOWNSTREAM__HEADERS__X-A", "env")];
        assert_eq!(headers("{ X-A = \"file\" }", &env), [pair("x-a", "env")]);
        assert_eq!(headers("{ x-a = \"file\" }", &env), [pair("x-a", "env")]);
    }

    #[test]
    fn what_may_not_be_set_is_refused() {
        let many: Vec<_> = (0..33).map(|n| format!("x-{n} = \"1\"")).collect();
        let many = format!("{{ {} }}", many.join(", "));
        for (headers, part) in [
            ("{ Host = \"x\" }", "queues.q.downstream.headers.Host: header \"Host\" is set by"),
            ("{ Webhook-Any = \"x\" }", "is set by Tidegate itself"),
            ("{ \"a b\" = \"x\" }", "headers.\"a b\": \"a b\" is not a valid header name"),
            ("{ A = \"hunter2\\u0007\" }", "the value of header \"A\" has a line break or another"),
            ("{ A = [] }", "found a list, expected a text in quotes"),
            ("{ X-A = \"1\", x-a = \"2\" }", "is given twice"),
            (&many, "headers: found 33, expected at most 32"),
            ("{ Content_Length = \"1\" }", "headers.Content_Length: header"),
            ("\"X-A: hunter2\"", "headers: found a text, expected a table"),
        ] {
            let error = queue_errors(&format!(
                "[queues.q.downstream]\nurl = \"http://h\"\nheaders = {headers}"
            ));
            assert!(error.contains(part), "{headers}: {error}");
            assert!(!error.contains("hunter2"), "{error}");
        }
    }
}
