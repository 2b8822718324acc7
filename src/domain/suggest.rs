//! "Did you mean …?" for a name that is not known.

/// No name that a user may give is as long, and to compare longer words costs.
const WORD_MAX: usize = 40;

/// The known name that was probably meant by `word`, if one is near enough.
///
/// Case counts as nothing, `-` as `_`, and a plural is its singular. One slip in three letters is near, and at most two; a slip is a
/// letter that was added, left out, changed, or swapped with its neighbour.
pub fn nearest<'a>(word: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    if word.len() > WORD_MAX {
        return None;
    }
    let word = word.to_ascii_lowercase().replace('-', "_");
    let slips_max = (word.chars().count() / 3).clamp(1, 2);
    let singular = word.strip_suffix("ies").map(|stem| format!("{stem}y"));
    let slips = |name: &str| {
        let slips = strsim::osa_distance(&word, name);
        singular.as_ref().map_or(slips, |one| slips.min(strsim::osa_distance(one, name)))
    };
    known
        .into_iter()
        .map(|name| (slips(&name.replace('-', "_")), name))
        .filter(|(slips, _)| *slips <= slips_max)
        .min()
        .map(|(_, name)| name)
}

/// `; did you mean "…"?`, or nothing.
pub fn did_you_mean<'a>(word: &str, known: impl IntoIterator<Item = &'a str>) -> String {
    nearest(word, known).map_or_else(String::new, |name| format!("; did you mean \"{name}\"?"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slips_are_recognised_and_other_words_are_not() {
        let known = [
            "payload",
            "priority",
            "due_at",
            "idempotency_key",
            "rate",
            "retry",
            "lease",
            "night-shift",
        ];
        let nearest = |word| nearest(word, known);
        assert_eq!(nearest("paylod"), Some("payload"));
        assert_eq!(nearest("dueAt"), Some("due_at"));
        assert_eq!(nearest("Idempotency-Key"), Some("idempotency_key"));
        assert_eq!(nearest("night-shfit"), Some("night-shift"));
        assert_eq!(nearest("rates"), Some("rate"));
        assert_eq!(nearest("retyr"), Some("retry"));
        assert_eq!(nearest("retries"), Some("retry"));
        assert_eq!(nearest("colour"), None);
        assert_eq!(nearest(""), None);
        assert_eq!(nearest(&"p".repeat(1000)), None);
    }
}
