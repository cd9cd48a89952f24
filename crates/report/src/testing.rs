//! What tests of pictures share.

/// A check that `svg` is well-formed: every element closed, nothing unescaped. Gives its texts.
pub(crate) fn texts_of_well_formed(svg: &str) -> Vec<String> {
    let (mut open, mut texts, mut rest) = (Vec::new(), Vec::new(), svg.trim());
    while let Some(start) = rest.find('<') {
        let text = rest[..start].trim();
        for entity in text.split('&').skip(1) {
            let name = entity.split(';').next().unwrap_or_default();
            assert!(["amp", "lt", "gt", "quot", "#39", "apos"].contains(&name), "the entity &{name}");
        }
        assert!(!text.contains('>'), "a bracket in {text}");
        if !text.is_empty() {
            assert!(!open.is_empty(), "text outside of the picture: {text}");
            texts.push(text.to_owned());
        }
        let end = start + rest[start..].find('>').expect("an open tag ends");
        let tag = &rest[start + 1..end];
        assert!(!tag.contains('<'), "a bracket in the tag {tag}");
        assert_eq!(tag.matches('"').count() % 2, 0, "an odd number of quotes in {tag}");
        if let Some(name) = tag.strip_prefix('/') {
            assert_eq!(open.pop(), Some(name.to_owned()));
        } else if !tag.ends_with('/') && !tag.starts_with('!') {
            open.push(tag.split_whitespace().next().unwrap_or_default().to_owned());
        }
        rest = &rest[end + 1..];
    }
    assert!(open.is_empty() && rest.is_empty(), "left open: {open:?}, left over: {rest}");
    assert!(!svg.contains("NaN") && !svg.contains("inf"), "a number that is none: {svg}");
    texts
}
