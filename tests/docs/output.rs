//! Whether a program printed what a text shows: `…` stands for any characters within a line, and alone for any lines.

use std::collections::BTreeSet;

/// The first difference, in words: the line of the text (from 0) and what is wrong with it.
pub fn difference(shown: &str, printed: &str) -> Option<(usize, String)> {
    let shown = lines(shown);
    let printed = lines(printed);
    // Where in the output one may be after each line of the text.
    let mut places = BTreeSet::from([0]);
    for (number, line) in shown.iter().enumerate() {
        let after: BTreeSet<usize> = if line.trim() == "…" {
            let first = places.first().copied().unwrap_or(0);
            (first..=printed.len()).collect()
        } else {
            let matches = |at: &usize| printed.get(*at).is_some_and(|found| is_like(line, found));
            places.iter().copied().filter(matches).map(|at| at + 1).collect()
        };
        if after.is_empty() {
            let is_any = number > 0 && shown[number - 1].trim() == "…";
            let found = match (is_any, places.last().and_then(|at| printed.get(*at))) {
                (false, Some(found)) => format!("it printed \"{found}\""),
                (false, None) => "it printed no more lines".into(),
                (true, _) => "no such line follows".into(),
            };
            return Some((number, format!("the text shows \"{line}\", and {found}")));
        }
        places = after;
    }
    let last = *places.last()?;
    (last < printed.len()).then(|| {
        (shown.len(), format!("the text ends here, and it printed \"{}\" after that", printed[last]))
    })
}

/// Lines without the blanks at their ends, and without empty lines at the end.
fn lines(text: &str) -> Vec<&str> {
    text.trim_end().lines().map(str::trim_end).collect()
}

/// Whether `line` is `shown`, in which `…` stands for anything.
fn is_like(shown: &str, line: &str) -> bool {
    let mut parts = shown.split('…');
    let Some(mut rest) = parts.next().and_then(|first| line.strip_prefix(first)) else { return false };
    let parts: Vec<&str> = parts.collect();
    let Some((last, middle)) = parts.split_last() else { return rest.is_empty() };
    for part in middle {
        let Some(at) = rest.find(part) else { return false };
        rest = &rest[at + part.len()..];
    }
    rest.ends_with(last)
}
