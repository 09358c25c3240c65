//! The nearest known name to one that is not known.

/// Returns the known name that was probably meant.
pub(crate) fn nearest<'a>(name: &str, known: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let name: Vec<char> = name.to_lowercase().chars().take(LONGEST).collect();
    let allowed = 1 + name.len() / 5;
    known
        .map(|candidate| (distance(&name, candidate), candidate))
        .filter(|(distance, _)| *distance <= allowed)
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate)
}

/// Longer names are cut: a file may hold anything.
const LONGEST: usize = 64;

/// Counts the letters to insert, delete, replace or swap with a neighbour.
fn distance(name: &[char], candidate: &str) -> usize {
    let candidate: Vec<char> = candidate.to_lowercase().chars().collect();
    let mut before: Vec<usize> = Vec::new();
    let mut row: Vec<usize> = (0..=candidate.len()).collect();
    for i in 0..name.len() {
        let mut next = vec![i + 1];
        for j in 0..candidate.len() {
            let replaced = row[j] + usize::from(name[i] != candidate[j]);
            let mut best = replaced.min(row[j + 1] + 1).min(next[j] + 1);
            if i > 0 && j > 0 && name[i] == candidate[j - 1] && name[i - 1] == candidate[j] {
                best = best.min(before[j - 1] + 1);
            }
            next.push(best);
        }
        before = std::mem::replace(&mut row, next);
    }
    row[candidate.len()]
}
