//! "Did you mean …?": the known word nearest to one that a person typed. Not a spelling checker; it only serves messages.

/// The known word that `typed` was most likely meant to be, if any is near enough to be worth a hint: about one slip
/// (a letter missing, added, wrong, or two swapped) per three letters, upper and lower case being the same.
pub fn closest<'a>(typed: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    if typed.is_empty() || typed.len() > LONGEST {
        return None;
    }
    let typed: Vec<char> = typed.to_lowercase().chars().collect();
    known
        .into_iter()
        .filter_map(|word| {
            let letters: Vec<char> = word.to_lowercase().chars().collect();
            let slips = distance(&typed, &letters);
            let allowed = letters.len().max(typed.len()).div_ceil(3);
            (slips <= allowed && slips < letters.len()).then_some((slips, word))
        })
        .min_by_key(|(slips, _)| *slips)
        .map(|(_, word)| word)
}

/// Words longer than this are nobody's slip of the finger, and the comparison is quadratic.
const LONGEST: usize = 64;

/// The optimal string alignment distance: insertions, deletions, substitutions and swaps of neighbours.
fn distance(a: &[char], b: &[char]) -> usize {
    let mut before_last: Vec<usize> = Vec::new();
    let mut last: Vec<usize> = (0..=b.len()).collect();
    for i in 1..=a.len() {
        let mut row = vec![i];
        for j in 1..=b.len() {
            let substituted = last[j - 1] + usize::from(a[i - 1] != b[j - 1]);
            let mut least = substituted.min(last[j] + 1).min(row[j - 1] + 1);
            if i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] {
                least = least.min(before_last[j - 2] + 1);
            }
            row.push(least);
        }
        before_last = std::mem::replace(&mut last, row);
    }
    last[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slip_finds_its_word_and_noise_finds_none() {
        let known = ["usb", "pty", "sim", "loopback", "interpreter"];
        for (typed, meant) in [
            ("USB", Some("usb")),
            ("ubs", Some("usb")),
            ("sin", Some("sim")),
            ("loopbak", Some("loopback")),
            ("interpeter", Some("interpreter")),
            ("intrepreter", Some("interpreter")),
            ("tcp", None),
            ("", None),
            ("x", None),
        ] {
            assert_eq!(closest(typed, known), meant, "{typed}");
        }
        assert_eq!(closest(&"usb".repeat(1000), known), None);
    }
}
