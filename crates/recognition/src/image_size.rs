//! How large images are before they are resized, noted as they are decoded.

use std::sync::Mutex;

use facegrad_faces::FaceError;
use facegrad_pictures::Picture;

use crate::Images;

/// Images whose common size is noted as they are decoded.
pub(crate) struct SizeRecorder<'a> {
    images: &'a dyn Images,
    common: Mutex<CommonSize>,
}

#[derive(Clone, Copy)]
enum CommonSize {
    Unknown,
    Of([usize; 2]),
    Different,
}

impl<'a> SizeRecorder<'a> {
    pub fn new(images: &'a dyn Images) -> Self {
        Self { images, common: Mutex::new(CommonSize::Unknown) }
    }

    /// Height and width of every image decoded so far, if they are the same.
    pub fn common(&self) -> Option<[usize; 2]> {
        match *self.common.lock().unwrap_or_else(|poisoned| poisoned.into_inner()) {
            CommonSize::Of(size) => Some(size),
            CommonSize::Unknown | CommonSize::Different => None,
        }
    }
}

impl Images for SizeRecorder<'_> {
    fn len(&self) -> usize {
        self.images.len()
    }

    fn name(&self, index: usize) -> String {
        self.images.name(index)
    }

    fn load(&self, index: usize, size: [usize; 2]) -> Result<Picture, FaceError> {
        let picture = self.images.load(index, size)?;
        let found = picture.original_size();
        let mut common = self.common.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        *common = match *common {
            CommonSize::Unknown => CommonSize::Of(found),
            CommonSize::Of(size) if size == found => CommonSize::Of(size),
            _ => CommonSize::Different,
        };
        Ok(picture)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Black images of these heights and widths.
    struct Black(Vec<[usize; 2]>);

    impl Images for Black {
        fn len(&self) -> usize {
            self.0.len()
        }

        fn name(&self, index: usize) -> String {
            index.to_string()
        }

        fn load(&self, index: usize, _size: [usize; 2]) -> Result<Picture, FaceError> {
            let [height, width] = self.0[index];
            Ok(Picture::new(width, height, vec![0; height * width * 3]))
        }
    }

    #[test]
    fn a_size_is_common_if_every_image_has_it() {
        let common = |sizes: &[[usize; 2]]| {
            let black = Black(sizes.to_vec());
            let recorder = SizeRecorder::new(&black);
            (0..recorder.len()).for_each(|index| drop(recorder.load(index, [8, 8]).unwrap()));
            recorder.common()
        };
        assert_eq!(common(&[]), None);
        assert_eq!(common(&[[3, 2], [3, 2]]), Some([3, 2]));
        assert_eq!(common(&[[3, 2], [2, 3], [2, 3]]), None);
        assert_eq!(common(&[[3, 2], [2, 3], [3, 2]]), None);
    }
}
