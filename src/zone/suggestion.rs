//! "Did you mean ...?": the known word that is nearest to an unknown one.

/// The longest word that is compared.
const MAX_WORD: usize = 64;

/// The nearest of the known words, if it is near: at most a third of its letters differ, at least one may.
pub(super) fn suggestion<'a>(word: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    if word.len() > MAX_WORD {
        return None;
    }
    let near = known.into_iter().map(|candidate| (distance(word.as_bytes(), candidate.as_bytes()), candidate));
    near.filter(|(distance, candidate)| *distance <= (candidate.len() / 3).max(1)).min().map(|(_, candidate)| candidate)
}

/// The number of letters to put in, take out, change or swap with the next one.
fn distance(a: &[u8], b: &[u8]) -> usize {
    let mut before: Vec<usize> = Vec::new();
    let mut last: Vec<usize> = (0..=b.len()).collect();
    for (i, &from) in a.iter().enumerate() {
        let mut row = vec![i + 1; b.len() + 1];
        for (j, &to) in b.iter().enumerate() {
            let changed = last[j] + usize::from(from != to);
            row[j + 1] = changed.min(last[j + 1] + 1).min(row[j] + 1);
            if i > 0 && j > 0 && from == b[j - 1] && a[i - 1] == to {
                row[j + 1] = row[j + 1].min(before[j - 1] + 1);
            }
        }
        before = std::mem::replace(&mut last, row);
    }
    last.last().copied().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn near_words_alone() {
        let known = ["bunny", "fastly", "gcore", "cdn77"];
        for (word, expected) in [
            ("buny", Some("bunny")),
            ("fsatly", Some("fastly")),
            ("gcroe", Some("gcore")),
            ("akamai", None),
            ("", None),
        ] {
            assert_eq!(suggestion(word, known), expected, "{word}");
        }
    }
}
