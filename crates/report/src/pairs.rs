//! Pairs of images within a page.

use base64::{Engine, engine::general_purpose::STANDARD};

use crate::{
    chart::number,
    html::{Escaped, push},
};

/// Two images that were compared.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct ImagePair {
    /// The first image.
    pub left: Thumbnail,
    /// The second image.
    pub right: Thumbnail,
    /// Their score.
    pub score: f64,
    /// Who is on them.
    pub caption: String,
}

/// A small image, as the page holds it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Thumbnail {
    /// The image as PNG or JPEG; it is embedded as it is. Anything else is shown as a missing image.
    pub bytes: Vec<u8>,
    /// What stands for the image where it cannot be seen, such as its file name.
    pub alt: String,
}

impl Thumbnail {
    pub(crate) fn to_html(&self) -> String {
        let alt = Escaped(&self.alt);
        let kind = if self.bytes.starts_with(b"\x89PNG\r\n\x1a\n") {
            "png"
        } else if self.bytes.starts_with(&[0xFF, 0xD8, 0xFF]) {
            "jpeg"
        } else {
            return format!("<div class=\"missing quiet\" title=\"{alt}\">no image</div>");
        };
        let data = STANDARD.encode(&self.bytes);
        format!("<img src=\"data:image/{kind};base64,{data}\" alt=\"{alt}\" title=\"{alt}\">")
    }
}

/// The pairs as a grid with a heading; nothing without pairs.
pub(crate) fn pair_grid(title: &str, pairs: &[ImagePair]) -> String {
    if pairs.is_empty() {
        return String::new();
    }
    let mut html = format!("<h3>{}</h3>\n<div class=\"pairs\">\n", Escaped(title));
    for pair in pairs {
        let (left, right) = (pair.left.to_html(), pair.right.to_html());
        let score = match pair.score.is_finite() {
            true => format!("{:.3}", pair.score).replace('-', "−"),
            false => number(pair.score),
        };
        let caption = Escaped(&pair.caption);
        push(
            &mut html,
            format_args!(
                "<figure class=\"pair\"><div>{left}{right}</div><figcaption><b>{score}</b> \
                 <span class=\"quiet\">{caption}</span></figcaption></figure>\n"
            ),
        );
    }
    html.push_str("</div>\n");
    html
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn images_are_embedded_and_anything_else_is_not() {
        let thumbnail =
            |bytes: &[u8]| Thumbnail { bytes: bytes.to_vec(), alt: "a \"b\" <c>".into() }.to_html();
        let png = thumbnail(b"\x89PNG\r\n\x1a\nrest");
        assert!(png.starts_with("<img src=\"data:image/png;base64,iVBORw0KGgpyZXN0\" alt=\"a &quot;b&quot;"));
        assert!(thumbnail(&[0xFF, 0xD8, 0xFF, 0xE0]).contains("data:image/jpeg;base64,/9j/4A=="));
        for other in [&b"<svg onload=\"x\">"[..], b"", b"GIF89a"] {
            let html = thumbnail(other);
            assert!(!html.contains("<img") && !html.contains("<svg") && html.contains("no image"), "{html}");
        }
    }

    #[test]
    fn scores_are_written_with_names() {
        let pair = ImagePair { score: -0.1234, caption: "<Ann> & Bob".into(), ..ImagePair::default() };
        let html = pair_grid("Worst", &[pair]);
        assert!(html.contains("<b>−0.123</b>") && html.contains("&lt;Ann&gt; &amp; Bob"));
        assert_eq!(pair_grid("Worst", &[]), "");
    }
}
