//! How deep JSON is nested.
//!
//! Most JSON readers give up at 128 levels. What we took in must be readable by whoever gets it, also
//! inside the wrapping of a batch or an answer, so deeper payloads are refused on their way in.

/// Deepest nesting of a payload.
pub const DEPTH_MAX: usize = 100;

/// Whether this JSON, known to be valid, is nested deeper than [`DEPTH_MAX`].
#[must_use]
pub fn is_too_deep(json: &str) -> bool {
    let (mut depth, mut in_string, mut escaped) = (0usize, false, false);
    for byte in json.bytes() {
        if in_string {
            match byte {
                _ if escaped => escaped = false,
                b'\\' => escaped = true,
                b'"' => in_string = false,
                _ => {}
            }
            continue;
        }
        match byte {
            b'"' => in_string = true,
            b'[' | b'{' => {
                depth += 1;
                if depth > DEPTH_MAX {
                    return true;
                }
            }
            b']' | b'}' => depth = depth.saturating_sub(1),
            _ => {}
        }
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn brackets_count_outside_strings_only() {
        let nested = |depth: usize| format!("{}{}", "[".repeat(depth), "]".repeat(depth));
        assert!(!is_too_deep(&nested(DEPTH_MAX)));
        assert!(is_too_deep(&nested(DEPTH_MAX + 1)));
        assert!(!is_too_deep(&format!("\"{}\"", "[".repeat(1000))));
        assert!(!is_too_deep(&format!("\"\\\"{}\"", "{".repeat(1000))));
        assert!(!is_too_deep(&format!("[{}0]", "[],".repeat(1000))));
        assert!(is_too_deep(&format!("{{\"a\\\\\":{}", "[".repeat(DEPTH_MAX))));
    }
}
