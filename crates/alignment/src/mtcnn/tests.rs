use std::{
    collections::HashMap,
    f64::consts::PI,
    fs,
    ops::Range,
    path::{Path, PathBuf},
};

use facegrad_faces::folder::ImagePaths;
use facegrad_kernels::simd::on_each_isa;
use facegrad_pictures::{ARCFACE_LANDMARKS, Similarity2d, decode::read_picture, warp};
use facegrad_synthetic::{SyntheticConfig, SyntheticFaces, synthetic_sheet};
use safetensors::{Dtype, tensor::TensorView};
use serde_json::Value;

use super::*;
use crate::choose_face;

/// What a tensor is called, and its shape.
type Layer = (&'static str, &'static [usize]);

const PNET: [Layer; 8] = [
    ("features.conv1", &[10, 3, 3, 3]),
    ("features.prelu1", &[10]),
    ("features.conv2", &[16, 10, 3, 3]),
    ("features.prelu2", &[16]),
    ("features.conv3", &[32, 16, 3, 3]),
    ("features.prelu3", &[32]),
    ("conv4_1", &[2, 32, 1, 1]),
    ("conv4_2", &[4, 32, 1, 1]),
];
const RNET: [Layer; 10] = [
    ("features.conv1", &[28, 3, 3, 3]),
    ("features.prelu1", &[28]),
    ("features.conv2", &[48, 28, 3, 3]),
    ("features.prelu2", &[48]),
    ("features.conv3", &[64, 48, 2, 2]),
    ("features.prelu3", &[64]),
    ("features.conv4", &[128, 576]),
    ("features.prelu4", &[128]),
    ("conv5_1", &[2, 128]),
    ("conv5_2", &[4, 128]),
];
const ONET: [Layer; 13] = [
    ("features.conv1", &[32, 3, 3, 3]),
    ("features.prelu1", &[32]),
    ("features.conv2", &[64, 32, 3, 3]),
    ("features.prelu2", &[64]),
    ("features.conv3", &[64, 64, 3, 3]),
    ("features.prelu3", &[64]),
    ("features.conv4", &[128, 64, 2, 2]),
    ("features.prelu4", &[128]),
    ("features.conv5", &[256, 1152]),
    ("features.prelu5", &[256]),
    ("conv6_1", &[2, 256]),
    ("conv6_2", &[4, 256]),
    ("conv6_3", &[10, 256]),
];

/// As `noise` in reference/mtcnn.py.
fn noise(seed: u32, count: usize) -> Vec<f32> {
    (0..count as u32)
        .map(|i| {
            let mut x = i.wrapping_add(seed.wrapping_mul(1_000_003));
            for _ in 0..3 {
                x = (x ^ (x >> 16)).wrapping_mul(0x45D_9F3B);
            }
            (x >> 8) as f32 / (1 << 23) as f32 - 1.0
        })
        .collect()
}

/// Tensors by their names.
type Made = HashMap<String, (Vec<usize>, Vec<f32>)>;

/// As `made_up` in reference/mtcnn.py.
fn made_up() -> [Made; 3] {
    let nets: [(&[Layer], f32); 3] = [(&PNET, 0.375), (&RNET, 0.875), (&ONET, -0.125)];
    let mut number = 0;
    nets.map(|(layers, lift)| {
        let mut tensors = Made::new();
        for (k, (name, shape)) in layers.iter().enumerate() {
            let seed = number * 100 + k as u32 * 2;
            let count: usize = shape.iter().product();
            let mut values = noise(seed, count);
            if name.contains("prelu") {
                values.iter_mut().for_each(|value| *value = 0.25 + *value / 8.0);
            } else {
                let inputs = (count / shape[0]) as f64;
                let mut reach = (3.0 / inputs).sqrt().log2().round_ties_even().exp2() as f32;
                if name.starts_with("conv") && shape[0] != 2 {
                    reach /= 4.0;
                }
                values.iter_mut().for_each(|value| *value *= reach);
                let mut bias: Vec<f32> = noise(seed + 1, shape[0]).iter().map(|value| value / 8.0).collect();
                if shape[0] == 2 {
                    bias[1] += lift;
                }
                tensors.insert(format!("{name}.bias"), (vec![shape[0]], bias));
            }
            tensors.insert(format!("{name}.weight"), (shape.to_vec(), values));
        }
        number += 1;
        tensors
    })
}

fn to_bytes(tensors: &Made) -> Vec<u8> {
    let bytes: Vec<(&String, &Vec<usize>, Vec<u8>)> = tensors
        .iter()
        .map(|(name, (shape, values))| (name, shape, values.iter().flat_map(|v| v.to_le_bytes()).collect()))
        .collect();
    let views = bytes.iter().map(|(name, shape, bytes)| {
        (name.as_str(), TensorView::new(Dtype::F32, shape.to_vec(), bytes).unwrap())
    });
    safetensors::serialize(views, None).unwrap()
}

fn detector(weights: [&[u8]; 3], min_face: usize) -> Mtcnn {
    Mtcnn::from_safetensors(weights, min_face).unwrap()
}

fn numbers_of(value: &Value) -> Vec<f32> {
    value.as_array().unwrap().iter().map(|x| x.as_f64().unwrap() as f32).collect()
}

fn assert_close(found: &[f32], expected: &[f32], tolerance: f32, what: &str) {
    assert_eq!(found.len(), expected.len(), "{what}");
    for (i, (a, b)) in found.iter().zip(expected).enumerate() {
        assert!((a - b).abs() <= tolerance, "{what}, {i}: {a} instead of {b}");
    }
}

/// Compares what the networks make of noise with the `outputs` of the reference, which are of size 1 about.
fn compare_outputs(detector: &Mtcnn, reference: &Value, tolerance: f32, name: &str) {
    // The reference's noise is in planes.
    let input = |[batch, height, width]: [usize; 3]| -> Vec<f32> {
        let planes = noise(1000, batch * 3 * height * width);
        let pictures = planes.chunks_exact(3 * height * width);
        let pixels = pictures.flat_map(|planes| {
            (0..height * width)
                .flat_map(move |pixel| [0, 1, 2].map(|channel| planes[channel * height * width + pixel]))
        });
        pixels.collect()
    };
    let first = detector.first.forward(input([1, 21, 16]), [21, 16]).x;
    let second = detector.second.forward(input([2, 24, 24]), 2);
    let third = detector.third.forward(input([2, 48, 48]), 2);
    // Its outputs are apart, and the first network's in planes.
    let part = |outputs: &[f32], width: usize, part: Range<usize>, is_map: bool| -> Vec<f32> {
        let rows: Vec<&[f32]> = outputs.chunks_exact(width).map(|row| &row[part.clone()]).collect();
        match is_map {
            true => (0..part.len()).flat_map(|channel| rows.iter().map(move |row| row[channel])).collect(),
            false => rows.concat(),
        }
    };
    let (scores, offsets, landmarks) = (0..SCORES, SCORES..LANDMARKS, LANDMARKS..ONet::OUTPUTS);
    for (net, outputs, parts) in [
        ("pnet", first, vec![scores.clone(), offsets.clone()]),
        ("rnet", second, vec![scores.clone(), offsets.clone()]),
        ("onet", third, vec![scores, offsets, landmarks]),
    ] {
        let expected = reference[net].as_array().unwrap();
        assert_eq!(parts.len(), expected.len());
        let width = parts[parts.len() - 1].end;
        for (i, (range, expected)) in parts.into_iter().zip(expected).enumerate() {
            let found = part(&outputs, width, range, net == "pnet");
            assert_close(&found, &numbers_of(expected), tolerance, &format!("{net} {i} with {name}"));
        }
    }
}

fn compare_faces(faces: &[Face], reference: &Value, tolerance: f32, name: &str) {
    let expected = reference.as_array().unwrap();
    assert_eq!(faces.len(), expected.len(), "{name}: {faces:?}");
    for (face, expected) in faces.iter().zip(expected) {
        assert!((face.score - expected["score"].as_f64().unwrap() as f32).abs() < 1e-4, "{name}: {face:?}");
        let Rect { left, top, right, bottom } = face.bounds;
        assert_close(&[left, top, right, bottom], &numbers_of(&expected["bounds"]), tolerance, name);
        assert_close(face.landmarks.as_flattened(), &numbers_of(&expected["landmarks"]), tolerance, name);
    }
}

/// As `blobs` in reference/mtcnn.py.
fn blobs(height: usize, width: usize) -> Picture {
    let value = |i: usize| {
        let (y, x, c) = (i / (3 * width), i / 3 % width, i % 3);
        ((x * x + y * y * 2 + x * y * (c + 1)) / 16 + (x / 8 + y / 8) % 2 * 60) % 256
    };
    Picture::new(width, height, (0..height * width * 3).map(|i| value(i) as u8).collect())
}

fn reference() -> Value {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("reference/mtcnn.json");
    serde_json::from_str(&fs::read_to_string(path).unwrap()).unwrap()
}

#[test]
fn made_up_networks_compute_what_the_reference_computes() {
    let (reference, weights) = (reference(), made_up().map(|net| to_bytes(&net)));
    on_each_isa(|isa| {
        let detector = detector(weights.each_ref().map(Vec::as_slice), 16);
        compare_outputs(&detector, &reference["outputs"], 1e-5, isa.name());
    });
}

#[test]
fn the_whole_detector_finds_what_the_reference_finds() {
    let (reference, weights) = (reference(), made_up().map(|net| to_bytes(&net)));
    on_each_isa(|isa| {
        let detector = detector(weights.each_ref().map(Vec::as_slice), 16);
        for size in [[60, 75], [49, 40]] {
            let found = detector.detect(&blobs(size[0], size[1]));
            let expected = &reference["faces"][format!("{}x{}", size[0], size[1])];
            assert!(!found.is_empty());
            compare_faces(&found, expected, 2e-3, isa.name());
        }
    });
}

#[test]
fn odd_pictures_have_no_faces() {
    let weights = made_up().map(|net| to_bytes(&net));
    let detector = detector(weights.each_ref().map(Vec::as_slice), 12);
    for (width, height) in [(0, 0), (1, 1), (11, 5000), (5000, 11), (3, 3)] {
        assert!(detector.detect(&Picture::new(width, height, vec![200; width * height * 3])).is_empty());
    }
    // Thin ones are searched.
    let thin = blobs(12, 900);
    let faces = detector.detect(&thin);
    assert!(faces.iter().all(|face| face.bounds.area().is_finite()), "{faces:?}");
}

#[test]
fn tiles_do_not_show() {
    let weights = made_up().map(|net| to_bytes(&net));
    let detector = detector(weights.each_ref().map(Vec::as_slice), 12);
    // Three tiles a side, against the map as a whole.
    let (height, width) = (560, 541);
    let picture = blobs(height, width);
    let halves = Halves::of(&picture, 1.0);
    let tiled = detector.propose(&halves, [height, width], [height, width]);
    let values: Vec<f32> = picture.pixels().iter().map(|&value| f32::from(value)).collect();
    let map = detector.first.forward(normalised(values), [height, width]);
    let [rows, columns] = [map.dims.height, map.dims.width];
    assert_eq!([rows, columns], [pyramid::cells(height), pyramid::cells(width)]);
    let whole: Vec<Verdict> = map.x.chunks_exact(map.dims.channels).map(Verdict::of).collect();
    // More squares pass than are kept at a time.
    let passed = whole.iter().filter(|verdict| verdict.score > THRESHOLDS[0]).count();
    println!("{passed} of {} pass, {} are left", rows * columns, tiled.len());
    assert!(tiled.len() > 500);
    for proposal in tiled {
        let rect = proposal.candidate.rect;
        let cell = rect.top as usize / 2 * columns + rect.left as usize / 2;
        assert!((whole[cell].score - proposal.candidate.score).abs() < 1e-5, "{proposal:?}");
        for (offset, tiled) in whole[cell].offsets.iter().zip(proposal.offsets) {
            assert!((offset - tiled).abs() < 1e-5);
        }
    }
}

#[test]
fn weights_that_do_not_fit_are_sentences() {
    let message = |nets: [&[u8]; 3]| Mtcnn::from_safetensors(nets, 20).unwrap_err().to_string();
    let nets = made_up();
    let bytes = nets.each_ref().map(to_bytes);
    let [first, second, third] = bytes.each_ref().map(Vec::as_slice);
    let begin = "the weights of the R-Net cannot be used: ";
    let missing = "features.conv2.weight of shape [48, 28, 3, 3] is";
    assert_eq!(
        message([first, third, second]),
        format!("{begin}features.conv1.weight is of shape [32, 3, 3, 3], not [28, 3, 3, 3]")
    );
    let change = |change: &dyn Fn(&mut Made)| {
        let mut net = nets[1].clone();
        change(&mut net);
        message([first, &to_bytes(&net), third])
    };
    assert_eq!(change(&|net| drop(net.remove("features.conv2.weight"))), format!("{begin}{missing} missing"));
    assert_eq!(
        change(&|net| drop(net.insert("conv6_1.bias".into(), (vec![1], vec![0.0])))),
        format!("{begin}conv6_1.bias belongs to another network")
    );
    assert_eq!(
        change(&|net| net.get_mut("conv5_1.bias").unwrap().1[0] = f32::NAN),
        format!("{begin}conv5_1.bias holds a number that is not finite")
    );
    assert!(
        message([first, &second[..1000], third]).starts_with(&format!("{begin}it is no safetensors file: "))
    );
    let half = TensorView::new(Dtype::F16, vec![2], &[0; 4]).unwrap();
    let half = safetensors::serialize([("conv5_1.bias", half)], None).unwrap();
    assert_eq!(message([first, &half, third]), format!("{begin}conv5_1.bias is of F16, not of F32"));
}

#[test]
fn only_the_known_files_are_loaded() {
    let folder = tempfile::tempdir().unwrap();
    let message = || {
        let error = read_weights(folder.path()).unwrap_err().to_string();
        error.replace(&folder.path().display().to_string(), "DIR")
    };
    let missing = message();
    assert!(missing.starts_with("the weights DIR/pnet.safetensors cannot be read: "), "{missing}");
    assert!(missing.ends_with("; the folder must hold pnet.safetensors, rnet.safetensors, onet.safetensors"));
    fs::write(folder.path().join("pnet.safetensors"), "x").unwrap();
    assert_eq!(
        message(),
        format!(
            "DIR/pnet.safetensors is not the file of weights it should be: its SHA-256 is {}, that of MTCNN's \
             pnet.safetensors is {}",
            facegrad_files::sha256(b"x"),
            WEIGHT_FILES[0].sha256
        )
    );
    fs::write(folder.path().join("pnet.safetensors"), vec![0; 30_000]).unwrap();
    assert!(message().contains("cannot be read: it has 30000 bytes, more than the 27568 it could need"));
}

/// A folder of the shared data, where that is.
fn shared(name: &str) -> Option<PathBuf> {
    let named = std::env::var_os("FACEGRAD_SHARED_DATA").map(PathBuf::from);
    let shared = named.unwrap_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/data"));
    let folder = shared.join(name);
    if !folder.is_dir() {
        println!("skipped: there is no folder {}", folder.display());
        return None;
    }
    Some(folder)
}

/// The folder of the real weights, where the shared data is.
fn real_weights() -> Option<PathBuf> {
    shared("mtcnn")
}

#[test]
fn the_authors_weights_compute_what_the_reference_computes() {
    let Some(folder) = real_weights() else { return };
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("reference/mtcnn-real.json");
    let reference: Value = serde_json::from_str(&fs::read_to_string(path).unwrap()).unwrap();
    let config = SyntheticConfig { identities: 3, images: 4, size: 120, ..Default::default() };
    let sheet = synthetic_sheet(&SyntheticFaces::new(&config), 3, 4);
    on_each_isa(|isa| {
        let detector = Mtcnn::load(&folder, 40).unwrap();
        compare_outputs(&detector, &reference["outputs"], 1e-4, isa.name());
        let faces = detector.detect(&sheet);
        compare_faces(&faces, &reference["faces"], 0.02, isa.name());
    });
}

/// Synthetic faces on a larger canvas, turned and scaled by known numbers: how many are found, and how far the
/// landmarks are from where the template has them.
#[test]
fn synthetic_faces_are_found_where_they_are() {
    let Some(folder) = real_weights() else { return };
    let detector = Mtcnn::load(&folder, 40).unwrap();
    let faces = SyntheticFaces::new(&SyntheticConfig { difficulty: 0.3, ..Default::default() });
    let (mut found, mut distances) = (0, Vec::new());
    let total = 60;
    for i in 0..total {
        let angle = (PI / 180.0 * (i as f64 * 7.0 % 40.0 - 20.0)) as f32;
        let scale = 0.8 + 0.02 * (i % 40) as f32;
        let (x, y) = (150.0 + (i * 13 % 40) as f32, 130.0 + (i * 29 % 40) as f32);
        let place = |[u, v]: [f32; 2]| {
            let (u, v) = ((u - 56.0) * scale, (v - 60.0) * scale);
            [x + u * angle.cos() - v * angle.sin(), y + u * angle.sin() + v * angle.cos()]
        };
        let known = ARCFACE_LANDMARKS.map(place);
        let photograph = Similarity2d::estimate(ARCFACE_LANDMARKS, known).unwrap();
        let picture = warp(&faces.render(i, 0, 112), &photograph, [300, 340]);
        let all = detector.detect(&picture);
        if let Some(face) = choose_face(&all, [300, 340]) {
            found += 1;
            for (found, known) in face.landmarks.iter().zip(known) {
                distances.push((found[0] - known[0]).hypot(found[1] - known[1]) / scale);
            }
        }
    }
    distances.sort_unstable_by(f32::total_cmp);
    let at = |share: f64| distances[((distances.len() - 1) as f64 * share) as usize];
    println!(
        "{found} of {total} synthetic faces found; landmarks are off by {:.2} px at 112 px for half of them, by \
         {:.2} for nine tenths",
        at(0.5),
        at(0.9)
    );
    // The drawings are aligned with errors of their own, and looked at from the side.
    assert!(found >= total * 9 / 10 && at(0.5) < 4.0, "{found}, {}", at(0.5));
}

/// If pixels were counted from another place than they are, landmarks of mirrored photographs would be off by twice
/// that.
#[test]
fn landmarks_of_mirrored_photographs_are_mirrored() {
    let (Some(weights), Some(images)) = (real_weights(), shared("lfw112/images")) else { return };
    let detector = Mtcnn::load(&weights, 40).unwrap();
    let paths = ImagePaths::below(&images).unwrap().in_folders;
    let mut shifts = Vec::new();
    for path in paths.iter().step_by(100) {
        let picture = read_picture(&images.join(path)).unwrap();
        let (width, size) = (picture.width(), [picture.height(), picture.width()]);
        let rows = picture.pixels().chunks_exact(width * 3);
        let mirrored = rows.flat_map(|row| row.chunks_exact(3).rev().flatten().copied()).collect();
        let mirrored = Picture::new(width, size[0], mirrored);
        let [faces, mirrored] = [&picture, &mirrored].map(|picture| detector.detect(picture));
        if let (Some(face), Some(mirrored)) = (choose_face(&faces, size), choose_face(&mirrored, size)) {
            for (point, twin) in [(0, 1), (1, 0), (2, 2), (3, 4), (4, 3)] {
                let back = (width - 1) as f32 - mirrored.landmarks[twin][0];
                shifts.push((face.landmarks[point][0] - back) / 2.0);
            }
        }
    }
    let mean = shifts.iter().sum::<f32>() / shifts.len() as f32;
    println!("{} landmarks, {mean:.3} pixels to the right on average", shifts.len());
    assert!(shifts.len() > 300 && mean.abs() < 0.3, "{mean}");
}

/// `picture` with its edge going on for `by` pixels.
fn padded(picture: &Picture, by: usize) -> Picture {
    let (width, height) = (picture.width(), picture.height());
    let inside = |at: usize, len: usize| at.saturating_sub(by).min(len - 1);
    let mut pixels = Vec::new();
    for y in 0..height + 2 * by {
        for x in 0..width + 2 * by {
            let at = (inside(y, height) * width + inside(x, width)) * 3;
            pixels.extend(&picture.pixels()[at..at + 3]);
        }
    }
    Picture::new(width + 2 * by, height + 2 * by, pixels)
}

/// LFW's faces, which somebody aligned by MTCNN on the whole photographs: how far the eyes come to lie from there when
/// they are aligned again, and from each other if the face has more around it.
#[test]
fn photographs_are_aligned_in_the_same_way_in_other_surroundings() {
    let (Some(weights), Some(images)) = (real_weights(), shared("lfw112/images")) else { return };
    let detector = Mtcnn::load(&weights, 40).unwrap();
    let paths = ImagePaths::below(&images).unwrap().in_folders;
    let (mut total, mut from_before, mut from_each_other) = (0, Vec::new(), Vec::new());
    let by = 60;
    for path in paths.iter().step_by(33) {
        total += 1;
        let picture = read_picture(&images.join(path)).unwrap();
        let eyes = |picture: &Picture, shift: f64| -> Option<[[f64; 2]; 2]> {
            let faces = detector.detect(picture);
            let face = choose_face(&faces, [picture.height(), picture.width()])?;
            // Where the template's eyes are on the photograph.
            let template = Similarity2d::estimate(ARCFACE_LANDMARKS, face.landmarks).ok()?;
            let eye = |i: usize| template.apply(ARCFACE_LANDMARKS[i].map(f64::from)).map(|x| x - shift);
            Some([eye(0), eye(1)])
        };
        let distance = |a: [[f64; 2]; 2], b: [[f64; 2]; 2]| {
            let each = a.iter().zip(b).map(|(a, b)| (a[0] - b[0]).hypot(a[1] - b[1]));
            each.fold(0.0, f64::max)
        };
        let before = [0, 1].map(|i| ARCFACE_LANDMARKS[i].map(f64::from));
        let (here, there) = (eyes(&picture, 0.0), eyes(&padded(&picture, by), by as f64));
        from_before.extend(here.map(|here| distance(here, before)));
        from_each_other.extend(here.zip(there).map(|(here, there)| distance(here, there)));
    }
    let within = |distances: &[f64]| {
        let share = |limit| distances.iter().filter(|d| **d < limit).count() as f64 / distances.len() as f64;
        [1.0, 2.0, 3.0].map(|limit| 100.0 * share(limit))
    };
    let (before, each_other) = (within(&from_before), within(&from_each_other));
    println!("{} of {total} found; eyes within 1, 2, 3 pixels, in per cent:", from_before.len());
    println!("  of where they were {before:.1?}, of each other {each_other:.1?}");
    assert!(from_before.len() * 100 >= total * 98 && before[1] > 75.0 && each_other[1] > 96.0);
}
