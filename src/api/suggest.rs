//! "Did you mean …?" for a name that is not known.

/// The known name nearest to `word`, if one is near enough to be meant.
pub(super) fn nearest<'a>(word: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    // Far longer words are no slip of the finger, and comparing them costs.
    if word.len() > 40 {
        return None;
    }
    let folded = word.to_ascii_lowercase().replace('-', "_");
    // Two swapped letters count as two.
    let near = (word.chars().count() / 2).clamp(1, 3);
    known
        .into_iter()
        // Each letter of the difference in length counts at least one.
        .filter(|name| name.len().abs_diff(folded.len()) <= near)
        .map(|name| (distance(&folded, name), name))
        .filter(|(distance, _)| *distance <= near)
        .min()
        .map(|(_, name)| name)
}

/// `; did you mean "…"?`, or nothing.
pub(super) fn did_you_mean<'a>(word: &str, known: impl IntoIterator<Item = &'a str>) -> String {
    nearest(word, known).map_or_else(String::new, |name| format!("; did you mean \"{name}\"?"))
}

/// How many letters must be changed, added or left out (Levenshtein).
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, letter) in a.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, other) in b.iter().enumerate() {
            let replaced = diagonal + usize::from(letter != *other);
            diagonal = row[j + 1];
            row[j + 1] = replaced.min(diagonal + 1).min(row[j] + 1);
        }
    }
    row[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slips_are_recognised_and_other_words_are_not() {
        let known = ["payload", "priority", "due_at", "idempotency_key"];
        let nearest = |word| nearest(word, known);
        assert_eq!(nearest("paylod"), Some("payload"));
        assert_eq!(nearest("dueAt"), Some("due_at"));
        assert_eq!(nearest("Idempotency-Key"), Some("idempotency_key"));
        assert_eq!(nearest("colour"), None);
        assert_eq!(nearest(""), None);
        assert_eq!(nearest(&"p".repeat(1000)), None);
    }
}
