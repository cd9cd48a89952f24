//! Arguments that several verbs take.

use std::{ops::RangeInclusive, path::PathBuf};

use clap::builder::{PathBufValueParser, TypedValueParser};
use facegrad::recognition::EmbeddingModel;
use facegrad::{Backend, Chosen};

use crate::failure::Failure;

/// What computes: shared by every verb that does.
#[derive(clap::Args, Clone)]
pub struct DeviceArgs {
    /// flex or ndarray on the CPU, wgpu on a graphics card; default flex, or what a resumed run used.
    #[arg(long)]
    pub backend: Option<Backend>,
    /// A graphics adapter by part of its name, or by kind: "discrete GPU", "software".
    #[arg(long)]
    pub adapter: Option<String>,
}

impl DeviceArgs {
    /// What was asked for, or else what a run used before, described as in
    /// [`Chosen::description`].
    pub fn or_as_before(&self, before: Option<&str>) -> Self {
        let named = before.and_then(|text| text.split_once(" on "));
        let Some((backend, device)) = named.filter(|_| self.backend.is_none()) else { return self.clone() };
        let backend = backend.parse().ok();
        let is_gpu = backend == Some(Backend::Wgpu);
        let adapter = device.rsplit_once(" (").filter(|_| is_gpu).map(|(name, _)| name.to_owned());
        Self { backend, adapter: self.adapter.clone().or(adapter) }
    }

    /// The device; without `--backend` that of the first backend that is built in: flex where it is.
    pub fn choose(&self) -> Result<Chosen, Failure> {
        let backend = self.backend.unwrap_or_else(default_backend);
        Ok(facegrad::choose(backend, self.adapter.as_deref())?)
    }
}

/// The backend when none is named: flex where it is built in.
pub fn default_backend() -> Backend {
    Backend::built_in()[0]
}

/// Where the model is if the command line does not say.
const MODEL_VARIABLE: &str = "FACEGRAD_MODEL";

/// The model: shared by every verb that uses one.
#[derive(clap::Args, Clone)]
pub struct ModelArgs {
    /// A run folder (its best checkpoint), a checkpoint folder, or a model file; without it what the environment
    /// variable FACEGRAD_MODEL says.
    #[arg(long)]
    pub model: Option<PathBuf>,
    #[command(flatten)]
    pub device: DeviceArgs,
}

impl ModelArgs {
    /// Where the model is.
    pub fn path(&self) -> Result<PathBuf, Failure> {
        let named = self.model.clone().or_else(|| std::env::var_os(MODEL_VARIABLE).map(PathBuf::from));
        named.filter(|path| !path.as_os_str().is_empty()).ok_or_else(|| {
            Failure::input(format!("no model is given; say which with --model, or set {MODEL_VARIABLE}"))
        })
    }

    /// The model, and what computes it.
    pub fn load(&self) -> Result<(EmbeddingModel, Chosen), Failure> {
        let path = self.path()?;
        let chosen = self.device.choose()?;
        let model = EmbeddingModel::load(&path, &chosen.device)?;
        Ok((model, chosen))
    }
}

/// Images embedded at a time without --batch.
pub const BATCH: u16 = 64;

/// How many images are embedded at a time: shared by every verb that embeds many.
#[derive(clap::Args, Clone)]
pub struct BatchArgs {
    /// Images embedded at a time.
    #[arg(long, default_value_t = BATCH, value_parser = clap::value_parser!(u16).range(1..))]
    batch: u16,
}

impl BatchArgs {
    /// Images of a batch.
    pub fn size(&self) -> usize {
        self.batch.into()
    }
}

/// Most that a pipe may hold which is named on the command line, in bytes.
const MAX_PIPE: u64 = 1 << 30;

/// A file to be read, which a person names. What is in a pipe (`<(…)`, `/dev/stdin`) is read now, so that whoever opens
/// the path finds it; what a config or a list names is never waited for.
pub fn file_to_read() -> impl TypedValueParser<Value = PathBuf> {
    PathBufValueParser::new().try_map(|path| facegrad_files::spool(&path, MAX_PIPE).map(|()| path))
}

/// A size that a network may take, as `data.size` of a config has it.
pub fn size(word: &str) -> Result<[usize; 2], String> {
    size_within(word, 16..=1024)
}

/// A side, or height and width, of images in pixels, as `[height, width]`: the order of `data.size` in a config and of
/// tensors. It is the only order of the command line.
pub fn size_within(word: &str, sides: RangeInclusive<usize>) -> Result<[usize; 2], String> {
    let (height, width) = word.split_once('x').unwrap_or((word, word));
    let side = |text: &str| text.parse().ok().filter(|side| sides.contains(side));
    side(height).zip(side(width)).map(|(height, width)| [height, width]).ok_or_else(|| {
        let (least, most) = (sides.start(), sides.end());
        format!(
            "a side such as 112, or height and width such as 112x96, is expected, from {least} to {most} pixels"
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_one_side_or_height_and_width() {
        assert_eq!(size("112"), Ok([112, 112]));
        assert_eq!(size("112x96"), Ok([112, 96]));
        assert_eq!(size_within("3000x2", 1..=4000), Ok([3000, 2]));
        for wrong in ["", "x", "112x", "15", "112x1025", "1.5", "-3", "112x112x3"] {
            assert!(size(wrong).is_err(), "{wrong}");
        }
    }
}
