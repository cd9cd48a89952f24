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

/// In what the embeddings of two origins were made in different ways, so that they cannot be compared.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{what} {one} and {other}")]
pub struct OriginDifference {
    /// Such as the flip fusion.
    pub what: &'static str,
    /// The value of one of them.
    pub one: String,
    /// The value of the other.
    pub other: String,
}

impl Origin {
    /// Why embeddings of the two cannot be compared with each other, if something is in the way. What one of them
    /// does not know is no difference.
    pub fn difference(&self, other: &Self) -> Option<OriginDifference> {
        let models = self.model_sha256.as_deref().zip(other.model_sha256.as_deref());
        let prepared = self.preprocessing.as_deref().zip(other.preprocessing.as_deref());
        let found = |what, one: &str, other: &str| {
            Some(OriginDifference { what, one: one.into(), other: other.into() })
        };
        match (models, prepared) {
            (Some((one, other)), _) if !one.eq_ignore_ascii_case(other) => {
                found("the models with the SHA-256", one, other)
            }
            _ if self.flip != other.flip => {
                found("the flip fusions", self.flip.as_str(), other.flip.as_str())
            }
            (_, Some((one, other))) if one != other => found("the preparations", one, other),
            _ if self.scoring != other.scoring => {
                found("the scores", &self.scoring.to_string(), &other.scoring.to_string())
            }
            _ => None,
        }
    }

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
    fn what_keeps_embeddings_from_being_compared_is_named() {
        let other = |change: fn(&mut Origin)| {
            let mut other = example();
            change(&mut other);
            let (there, back) = (example().difference(&other), other.difference(&example()));
            assert_eq!(there.is_some(), back.is_some());
            there.map(|difference| difference.to_string())
        };
        assert_eq!(other(|_| {}), None);
        assert_eq!(other(|origin| origin.model_sha256 = None), None);
        assert_eq!(other(|origin| origin.model_sha256 = Some("AB".repeat(32))), None);
        assert_eq!(other(|origin| origin.backend = "wgpu".into()), None);
        assert_eq!(other(|origin| origin.preprocessing = None), None);
        assert_eq!(other(|origin| origin.flip = Flip::None).unwrap(), "the flip fusions add and none");
        let models = other(|origin| origin.model_sha256 = Some("cd".repeat(32))).unwrap();
        assert_eq!(
            models,
            format!("the models with the SHA-256 {} and {}", "ab".repeat(32), "cd".repeat(32))
        );
        assert!(other(|origin| origin.preprocessing = Some("64x64".into())).unwrap().ends_with(" and 64x64"));
        let scores = other(|origin| origin.scoring = Similarity::Euclidean).unwrap();
        assert_eq!(scores, "the scores cosine and euclidean");
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
