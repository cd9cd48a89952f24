//! Names of people, compared as a person would: whatever the case, the accents and what stands between the parts.

use std::collections::HashMap;

/// Letters of the Latin alphabet with marks, by what they are without; both cases are lower case here.
const PLAIN: [(&str, &str); 22] = [
    ("a", "àáâãäåāăą"),
    ("c", "çćĉċč"),
    ("d", "ďđð"),
    ("e", "èéêëēĕėęě"),
    ("g", "ĝğġģ"),
    ("h", "ĥħ"),
    ("i", "ìíîïĩīĭįı"),
    ("j", "ĵ"),
    ("k", "ķ"),
    ("l", "ĺļľŀł"),
    ("n", "ñńņňŉ"),
    ("o", "òóôõöøōŏő"),
    ("r", "ŕŗř"),
    ("s", "śŝşšș"),
    ("t", "ţťŧț"),
    ("u", "ùúûüũūŭůűų"),
    ("w", "ŵ"),
    ("y", "ýÿŷ"),
    ("z", "źżž"),
    ("ae", "æ"),
    ("oe", "œ"),
    ("ss", "ß"),
];

/// A name without case, accents, spaces and punctuation.
pub fn normalised(name: &str) -> String {
    let mut plain = String::with_capacity(name.len());
    for letter in name.chars().flat_map(char::to_lowercase).filter(|c| c.is_alphanumeric()) {
        match PLAIN.iter().find(|(_, marked)| !letter.is_ascii() && marked.contains(letter)) {
            Some((without, _)) => plain.push_str(without),
            None => plain.push(letter),
        }
    }
    plain
}

/// Whether two sets may mean the same by a name: it is of letters, and no number that a set gives its people.
fn is_of_a_person(name: &str) -> bool {
    name.chars().any(char::is_alphabetic) && !name.chars().any(char::is_numeric)
}

/// Identities of one set whose names are the same but for case, accents and what is between their parts, in order.
pub fn alike(identities: &[String]) -> Vec<Vec<usize>> {
    let mut by_name: HashMap<String, Vec<usize>> = HashMap::new();
    for (label, name) in identities.iter().enumerate() {
        by_name.entry(normalised(name)).or_default().push(label);
    }
    let is_name = |(name, labels): &(String, Vec<usize>)| !name.is_empty() && labels.len() > 1;
    let mut found: Vec<Vec<usize>> = by_name.into_iter().filter(is_name).map(|(_, labels)| labels).collect();
    found.sort_unstable();
    found
}

/// Identities of a set whose names another set has too, as (label, label in the other). Names with digits, or without
/// letters, are not compared: each set counts its people anew.
pub fn common(identities: &[String], other: &[String]) -> Vec<(usize, usize)> {
    let persons = |names: &[String]| -> Vec<(String, usize)> {
        let names = names.iter().enumerate().filter(|(_, name)| is_of_a_person(name));
        names.map(|(label, name)| (normalised(name), label)).collect()
    };
    let mut by_name: HashMap<String, usize> = HashMap::new();
    for (name, label) in persons(other) {
        by_name.entry(name).or_insert(label);
    }
    let found = persons(identities).into_iter();
    found.filter_map(|(name, label)| Some((label, *by_name.get(&name)?))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(names: &[&str]) -> Vec<String> {
        names.iter().map(|name| (*name).to_owned()).collect()
    }

    #[test]
    fn spellings_of_a_name() {
        for name in ["Zoë_Kravitz", "zoe kravitz", "Zoe-Kravitz", "Zoe\u{308} KRAVITZ", "zoekravitz"] {
            assert_eq!(normalised(name), "zoekravitz", "{name}");
        }
        assert_eq!(normalised("Łukasz Ødegård"), "lukaszodegard");
        assert_eq!(normalised("山田 太郎"), "山田太郎");
    }

    #[test]
    fn names_that_are_alike() {
        let set = names(&["Ann Lee", "Bob", "ann_lee", "--", "..", "Ann-Lée"]);
        assert_eq!(alike(&set), [vec![0, 2, 5]]);
        let other = names(&["bob", "0", "id_7", "Cy"]);
        assert_eq!(common(&names(&["0", "id_7", "Bob", "Dee"]), &other), [(2, 0)]);
    }
}
