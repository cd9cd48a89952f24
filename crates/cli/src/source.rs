//! A set that is named on the command line.

use std::path::Path;

use facegrad::faces::{SourceConfig, SourceKind};
use facegrad::recognition::ImageSet;
use facegrad::settings::{Override, Setting, apply_overrides, toml};

use crate::failure::Failure;

/// The set at `path` with the keys of `--set`. A kind that is set need not be found out.
pub fn source_config(path: &Path, overrides: &[String]) -> Result<SourceConfig, Failure> {
    let overrides: Vec<Override> =
        overrides.iter().map(|argument| argument.parse()).collect::<Result<_, _>>()?;
    if overrides.is_empty() {
        return Ok(SourceConfig::of_path(path)?);
    }
    let written = match overrides.iter().any(|key| key.key() == "kind") {
        true => None,
        false => SourceConfig::of_path(path)?.write(),
    };
    let mut table = match written {
        Some(toml::Value::Table(table)) => table,
        _ => toml::Table::from_iter([("path".into(), facegrad_files::name_of(path).into())]),
    };
    apply_overrides(&mut table, &overrides, &SourceConfig::schema())?;
    let config = SourceConfig::read(&toml::Value::Table(table), &"".into())?;
    config.validate(&"".into())?;
    Ok(config)
}

/// What lies at `path` to be embedded: a single image, or the set with the keys of `--set`, of which a list is one of
/// images in the folder `images` where that is given.
pub fn image_set(path: &Path, overrides: &[String], images: Option<&Path>) -> Result<ImageSet, Failure> {
    if let Some(photograph) = ImageSet::photograph(path)? {
        return Ok(photograph);
    }
    let mut config = source_config(path, overrides)?;
    if let (SourceKind::List(list), Some(images)) = (&mut config.kind, images) {
        list.root = Some(images.into());
    }
    Ok(ImageSet::of(config.open_images()?))
}
