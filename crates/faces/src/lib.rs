//! Face data: where images come from, and how they reach the trainer.
//!
//! A [`FaceSource`] is a set of labelled face images; [`folder`] reads one from disk, [`synthetic`] draws one.
//! The loader turns a source into batches of bytes in an order, and with an augmentation, that depend on
//! (seed, epoch, index) only. Nothing here knows of tensors or models.

mod picture;
mod source;

pub use picture::Picture;
pub use source::{FaceError, FaceSource};
