//! A large photograph is the same input to a network wherever it comes from.

use std::{fs, path::Path};

use facegrad_backbones::BackboneConfig;
use facegrad_devices::{Backend, choose};
use facegrad_faces::{FaceError, InsightfaceBin, SourceConfig};
use facegrad_pictures::{AugmentationConfig, ImageFormat, Picture, encode, plain};
use facegrad_recognition::{
    Embedder, EmbeddingModel, EvaluationConfig, ImageFiles, ImageNeed, ImageSet, Images, ModelCard,
    Preprocessing, SourceImages,
};
use facegrad_settings::{Setting, toml};
use facegrad_verification::Flip;

/// Height and width of the network's input; the photograph is four times as large.
const SIZE: [usize; 2] = [32, 32];

/// A photograph with detail that is lost when it is made smaller, each `number` another one.
fn photograph(number: usize) -> Vec<u8> {
    let value = |at: usize| (at * at / 7 + at * (31 + number)) as u8;
    let picture = Picture::new(140, 132, (0..140 * 132 * 3).map(value).collect());
    encode(&picture, ImageFormat::Jpeg).unwrap()
}

struct BinImages(InsightfaceBin);

impl Images for BinImages {
    fn len(&self) -> usize {
        self.0.images()
    }

    fn name(&self, index: usize) -> String {
        self.0.name(index)
    }

    fn load(&self, index: usize, size: [usize; 2]) -> Result<Picture, FaceError> {
        self.0.load(index, size)
    }
}

/// The evaluation of this section of a config.
fn protocol(text: String) -> EvaluationConfig {
    EvaluationConfig::read(&toml::Value::Table(text.parse().unwrap()), &"evaluation".into()).unwrap()
}

#[test]
fn training_and_every_use_of_a_model_see_the_same() {
    let folder = tempfile::tempdir().unwrap();
    let people = folder.path().join("people");
    let paths = ["ann/0.jpg", "ann/1.jpg", "bob/2.jpg"].map(|path| people.join(path));
    for (number, path) in paths.iter().enumerate() {
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, photograph(number)).unwrap();
    }
    let bin = folder.path().join("set.bin");
    InsightfaceBin::write(
        &bin,
        [(photograph(0), photograph(1), true), (photograph(0), photograph(2), false)],
    )
    .unwrap();
    let list = folder.path().join("pairs.csv");
    fs::write(&list, "a,b,same\nann/0.jpg,ann/1.jpg,1\nann/0.jpg,bob/2.jpg,0\n").unwrap();

    // As the loader reads them, without a crop.
    let source = SourceConfig::of_path(&people).unwrap().open_any().unwrap().source;
    let cut_from = AugmentationConfig::default().source_size(SIZE);
    let trained_on = |image| source.load(image, cut_from).unwrap();
    assert_eq!((trained_on(0).width(), trained_on(0).height()), (35, 33), "a quarter");

    let files = ImageFiles::new(paths.iter().map(|path| (path.display().to_string(), path.clone())));
    let set = ImageSet::open(&people).unwrap();
    let images: [(&str, Box<dyn Images>); 4] = [
        ("of a source", Box::new(SourceImages::new(source.clone(), vec![0, 1, 2]))),
        ("of a list", Box::new(files)),
        ("of a folder", Box::new(set)),
        ("of a .bin", Box::new(BinImages(InsightfaceBin::open(&bin).unwrap()))),
    ];
    let card = ModelCard {
        backbone: BackboneConfig::of_kind("nano").unwrap(),
        preprocessing: Preprocessing::of_size(SIZE),
        trained_on: String::new(),
        identities: 0,
        step: 0,
        scoring: Default::default(),
        operating_points: Vec::new(),
    };
    let device = choose(Backend::Flex, None).unwrap().device;
    let model = EmbeddingModel::untrained(card, 1, &device).unwrap();
    let embedder = Embedder::model(&model, 3, "flex");
    let embed = |images: &dyn Images| embedder.embed(images, Flip::None, &mut |_| true).unwrap();
    let expected = embed(images[0].1.as_ref());
    for (what, images) in &images {
        for image in 0..3 {
            let picture = images.load(image, SIZE).unwrap();
            assert_eq!(picture, trained_on(image), "{what}");
            assert_eq!(picture.original_size(), [132, 140], "{what}");
        }
        assert_eq!(embed(images.as_ref()), expected, "{what}");
    }

    // How large they were is told where all are alike.
    assert_eq!(expected.image_size, Some([132, 140]));
    let small = folder.path().join("small.png");
    fs::write(&small, encode(&Picture::new(40, 40, vec![9; 4800]), ImageFormat::Png).unwrap()).unwrap();
    let named = |path: &Path| (path.display().to_string(), path.to_path_buf());
    let size = |paths: &[&Path]| embed(&ImageFiles::new(paths.iter().map(|path| named(path)))).image_size;
    assert_eq!(size(&[&small]), Some([40, 40]));
    assert_eq!(size(&[&small, &paths[0], &small, &paths[1]]), None);
    assert_eq!(size(&[]), None);

    let shown = |path: &Path| path.display().to_string();
    for evaluation in [
        format!("kind = \"bin\"\nfile = \"{}\"", shown(&bin)),
        format!("kind = \"pairs\"\npairs = \"{}\"\nimages = \"{}\"", shown(&list), shown(&people)),
    ] {
        let opened = protocol(evaluation.clone()).open(ImageNeed::Pixels).unwrap();
        let input = opened.picture(0, SIZE).unwrap();
        assert_eq!(input.pixels(), plain(trained_on(0), SIZE).pixels(), "{evaluation}");
    }
}
