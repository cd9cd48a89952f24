//! IJB-B and IJB-C.

use std::path::PathBuf;

use facegrad_faces::FaceError;
use facegrad_files::name_of;
use facegrad_pictures::{Picture, Similarity2d, arcface_landmarks, decode::read_picture, warp};
use facegrad_settings::{SettingsError, settings};
use facegrad_verification::{
    Flip, Similarity,
    ijb::{
        FaceList, IjbFolder, IjbResult, IjbSearch, IjbSet, IjbSource, IjbVerification, MediaList, PoolError,
        SubjectList, TemplateNorm, Templates,
    },
};

use super::{
    EvaluationError, ImageNeed, Measurement, MeasurementError, OpenProtocol, Protocol, ProtocolOutcome,
    needs_path,
};
use crate::{Embedder, EmbedderError, ImageFiles, Images};

settings! {
    /// IJB-B or IJB-C with the lists and loose crops that insightface distributes.
    pub struct IjbConfig {
        /// What the evaluation is called in logs and results; without it as the set.
        name: Option<String> = None;
        /// The folder IJBB or IJBC, with meta and loose_crop.
        folder: PathBuf = PathBuf::new();
        /// Which of the two.
        set: IjbSet = IjbSet::C;
        /// Whether embeddings keep their length when images are pooled to templates (insightface: N1) or are made
        /// unit vectors (N0).
        norm: TemplateNorm = TemplateNorm::Keep;
        /// Whether embeddings are weighted by the score of the detector (insightface: D1).
        detector_score: bool = true;
        /// Whether to compare the pairs of templates, 1:1.
        verification: bool = true;
        /// Whether to search the galleries, 1:N.
        search: bool = true;
        /// How an image and its mirror image become one embedding (insightface: add is F2, none is F1).
        flip: Flip = Flip::Add;
    }
}

impl Protocol for IjbConfig {
    fn name(&self) -> String {
        self.name.clone().unwrap_or_else(|| self.set.to_string())
    }

    fn validate(&self, at: &dyn Fn(&str) -> String, _wanted: ImageNeed) -> Result<(), SettingsError> {
        needs_path(&self.folder, at("folder"), "the folder IJBB or IJBC")?;
        if !self.verification && !self.search {
            return Err(SettingsError::conflict(
                at("search"),
                "and verification are both false, so nothing is measured",
            ));
        }
        Ok(())
    }

    fn open(&self, wanted: ImageNeed) -> Result<Box<dyn OpenProtocol>, EvaluationError> {
        let folder = IjbFolder::new(&self.folder, self.set);
        let media = MediaList::read(&folder.media)?;
        // Landmarks are needed for pixels, detector scores for weights.
        let needs_faces = wanted == ImageNeed::Pixels || self.detector_score;
        let faces = if needs_faces { Some(FaceList::read(&folder.faces, &media)?) } else { None };
        let subjects = match self.search {
            false => None,
            true => {
                let read = |file: &PathBuf| SubjectList::read(file, media.templates());
                let galleries = folder.galleries.iter().map(read).collect::<Result<Vec<_>, _>>()?;
                Some((galleries, read(&folder.probes)?))
            }
        };
        let names: Vec<String> = (0..media.images()).map(|image| media.name(image).to_owned()).collect();
        let (files, missing) = match wanted {
            ImageNeed::Pixels => ImageFiles::search(&folder.images, &names),
            ImageNeed::Names => (ImageFiles::default(), None),
        };
        if let Some(missing) = missing {
            let (list, folder, missing) = (folder.media, folder.images, missing.into());
            return Err(EvaluationError::MissingImages { list, folder, missing, hint: String::new() });
        }
        let images = Crops { files, media, faces };
        Ok(Box::new(Open { config: self.clone(), folder, images, subjects }))
    }
}

struct Open {
    config: IjbConfig,
    folder: IjbFolder,
    images: Crops,
    /// The galleries and the probes.
    subjects: Option<(Vec<SubjectList>, SubjectList)>,
}

/// Loose crops around faces with known landmarks.
struct Crops {
    /// None where embeddings are looked up.
    files: ImageFiles,
    media: MediaList,
    faces: Option<FaceList>,
}

impl Images for Crops {
    fn len(&self) -> usize {
        self.media.images()
    }

    fn name(&self, index: usize) -> String {
        self.media.name(index).to_owned()
    }

    fn remark(&self) -> Option<String> {
        self.files.remark()
    }

    fn load(&self, index: usize, size: [usize; 2]) -> Result<Picture, FaceError> {
        let path = self.files.file(index)?;
        let wrong = |reason: String| FaceError { name: name_of(path), reason };
        let face = self.faces.as_ref().map(|faces| faces.faces[index]);
        let face = face.ok_or_else(|| wrong("its landmarks were not read".into()))?;
        let picture = read_picture(path).map_err(|error| wrong(error.to_string()))?;
        let landmarks = face.landmarks.map(|point| picture.place_of(point));
        let transform = Similarity2d::estimate(landmarks, arcface_landmarks(size));
        Ok(warp(&picture, &transform.map_err(|error| wrong(error.to_string()))?, size))
    }
}

impl OpenProtocol for Open {
    fn images(&self) -> usize {
        self.images.len()
    }

    fn sha256(&self) -> String {
        self.images.media.sha256().to_owned()
    }

    fn remarks(&self) -> Vec<String> {
        self.images.remark().into_iter().collect()
    }

    fn measure(
        &self,
        embedder: &Embedder<'_>,
        _measurement: &Measurement,
        progress: &mut dyn FnMut(usize) -> bool,
    ) -> Result<ProtocolOutcome, MeasurementError> {
        let flip = self.config.flip;
        let dim = embedder.dim(flip);
        let mut stream = embedder.stream(&self.images, flip)?;
        // Images arrive in order, a portion at a time; of a portion, `done` rows were handed on.
        let (mut portion, mut done) = (Vec::new(), 0);
        let next = |_: usize, out: &mut [f32]| {
            if done == portion.len() {
                portion = stream.next()?.map(<[f32]>::to_vec).unwrap_or_default();
                done = 0;
                if !progress(portion.len() / dim) {
                    return Err(EmbedderError::Stopped);
                }
            }
            out.copy_from_slice(&portion[done..done + dim]);
            done += dim;
            Ok(())
        };
        let faces = self.images.faces.as_ref().filter(|_| self.config.detector_score);
        let templates = Templates::pool(&self.images.media, self.config.norm, faces, dim, next);
        let templates = templates.map_err(|error| match error {
            // Images are embedded a portion at a time: what is wrong is hardly the image that was asked for, and is named.
            PoolError::Row { cause, .. } => cause.into(),
            other => MeasurementError::from(other),
        })?;
        let verification = match self.config.verification {
            true => Some(IjbVerification::measure(&templates, &self.folder.pairs)?),
            false => None,
        };
        let search = match &self.subjects {
            Some((galleries, probes)) => Some(IjbSearch::measure(&templates, galleries, probes)?),
            None => None,
        };
        let provenance = embedder.provenance(
            match self.config.set {
                IjbSet::B => "IJB-B".into(),
                IjbSet::C => "IJB-C".into(),
            },
            String::new(),
            stream.images_sha256(),
            flip,
            Similarity::Cosine,
        );
        let source = IjbSource {
            protocol: provenance.protocol,
            images_sha256: provenance.images_sha256,
            model_sha256: provenance.model_sha256,
            backend: provenance.backend,
            flip: provenance.flip,
            switches: provenance.switches,
            image_remarks: self.remarks(),
        };
        let result = IjbResult::new(source, &templates, verification, search);
        Ok(ProtocolOutcome::without_pairs(result))
    }
}
