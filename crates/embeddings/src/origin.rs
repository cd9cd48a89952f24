//! Where embeddings come from.

use facegrad_verification::{Flip, Similarity};
use serde::{Deserialize, Serialize};

use crate::{error::Problem, limits::MAX_ORIGIN_BYTES};

/// Where embeddings come from: everything that two sets must share for their rows to be comparable.
///
/// Files of other programs have none. The rows of a file are as they leave the network after flip fusion, not
/// normalised, unless [`normalised`](Self::normalised) says otherwise.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Origin {
    /// The version of facegrad that computed them.
    pub facegrad: String,
    /// SHA-256 of the model's weights, in hexadecimal.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub model_sha256: Option<String>,
    /// How the images were prepared: size, alignment, colour order, normalisation.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub preprocessing: Option<String>,
    /// How the embedding of an image and that of its mirror image became one.
    pub flip: Flip,
    /// How the model's embeddings are compared.
    pub scoring: Similarity,
    /// What they were computed on.
    pub backend: String,
    /// SHA-256 of the pixels of all images, in hexadecimal.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pixels_sha256: Option<String>,
    /// Whether every row was divided by its length.
    #[serde(default)]
    pub normalised: bool,
}

impl Origin {
    /// On one line; what [`parse`](Self::parse) reads.
    pub(crate) fn to_json(&self) -> Result<String, Problem> {
        let json = serde_json::to_string(self).map_err(|error| Problem::content(error.to_string()))?;
        if json.len() > MAX_ORIGIN_BYTES {
            let (found, most) = (json.len(), MAX_ORIGIN_BYTES);
            return Err(Problem::Content(format!("its origin takes {found} bytes and may take {most}")));
        }
        Ok(json)
    }

    /// Keys it does not know are left aside: they are of a later version.
    pub(crate) fn parse(json: &str) -> Result<Self, Problem> {
        if json.len() > MAX_ORIGIN_BYTES {
            let (found, most) = (json.len(), MAX_ORIGIN_BYTES);
            return Err(Problem::Content(format!("its origin takes {found} bytes and may take {most}")));
        }
        serde_json::from_str(json)
            .map_err(|error| Problem::Content(format!("its origin is not one that facegrad writes: {error}")))
    }
}

#[cfg(test)]
pub(crate) fn example() -> Origin {
    Origin {
        facegrad: "0.1.0".into(),
        model_sha256: Some("ab".repeat(32)),
        preprocessing: Some("112 x 112, RGB, (v − 127.5) / 127.5".into()),
        flip: Flip::Add,
        scoring: Similarity::Cosine,
        backend: "flex".into(),
        pixels_sha256: None,
        normalised: false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_origin_is_one_line_of_json() {
        let origin = Origin { preprocessing: Some("two\nlines".into()), ..example() };
        let json = origin.to_json().unwrap();
        assert!(!json.contains('\n') && !json.contains("pixels_sha256"), "{json}");
        assert!(json.contains(r#""flip":"add","scoring":"cosine","backend":"flex""#), "{json}");
        assert_eq!(Origin::parse(&json).unwrap(), origin);
        let later = json.replacen('{', r#"{"of_a_later_version": 1, "#, 1);
        assert_eq!(Origin::parse(&later).unwrap(), origin);
    }

    #[test]
    fn what_is_no_origin_is_said() {
        for json in ["", "3", "{}", r#"{"facegrad": "1", "flip": "sideways"}"#] {
            let error = format!("{:?}", Origin::parse(json).unwrap_err());
            assert!(error.contains("not one that facegrad writes"), "{error}");
        }
        assert!(Origin { backend: "x".repeat(1 << 20), ..example() }.to_json().is_err());
        assert!(Origin::parse(&" ".repeat(1 << 20)).is_err());
    }
}
