//! IARPA Janus Benchmark B and C (Whitelam et al. 2017, Maze et al. 2018), from the lists that insightface
//! distributes.
//!
//! People are compared by *templates*: all images of a person in one role, some of them frames of one video.
//! A [`MediaList`] says which image belongs to which template and medium, [`Templates::pool`] makes one unit
//! vector of each template from the embeddings of its images, [`IjbVerification`] compares the pairs of
//! templates of a file (1:1) and [`IjbSearch`] searches galleries of templates (1:N). [`IjbResult`] holds the
//! numbers with every switch behind them.
//!
//! The full benchmark C has 469,375 images, 23,124 templates and 15,658,489 pairs. Embeddings are asked for
//! row by row and the pairs are read as they are scored, so that memory is that of the templates
//! (12 bytes a number while they are pooled, 4 after) and of the scores (4 bytes a pair).
//!
//! The switches of other programs, in our terms:
//!
//! | there | here |
//! |---|---|
//! | F0, F1, F2 | [`Flip`](crate::Flip) `none`, `concat`, `add`, a matter of what is embedded |
//! | N1 and `use_norm_score = True` in insightface's `eval_ijbc.py` | [`TemplateNorm`] `keep` |
//! | N0, and `use_norm_score = True` in insightface's `ijb_evals.py` | [`TemplateNorm`] `unit` |
//! | D1, D0 | with or without the detector scores of a [`FaceList`] |

mod lists;
mod pairs;
mod result;
mod search;
mod templates;
mod verification;

pub use lists::{FaceList, IjbFace, IjbFolder, IjbSet, MediaList, SubjectList, TemplateIds};
pub use pairs::{PairFile, TemplatePair};
pub use result::{IjbResult, IjbSource};
pub use search::{
    GallerySearch, IjbSearch, InsightfaceRecall, InsightfaceSearch, MeanRank, MeanTpir, RankRate,
    SearchError, SearchPoint, TpirAtFpir,
};
pub use templates::{PoolError, Pooling, TemplateNorm, Templates};
pub use verification::{IjbVerification, NearestPoint, PairScores};
