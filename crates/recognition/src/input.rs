//! The bytes of images as the input of a network.

use burn::tensor::{Device, Tensor, TensorData};
use rayon::prelude::*;

/// Bytes that a thread takes at a time.
const AT_A_TIME: usize = 1 << 16;

/// The bytes of images as the values that networks take, (v − 127.5) / 127.5, in the same order.
pub fn normalised(pixels: &[u8]) -> Vec<f32> {
    let values: [f32; 256] = std::array::from_fn(|value| (value as f32 - 127.5) / 127.5);
    let mut normalised = vec![0.0f32; pixels.len()];
    let chunks = normalised.par_chunks_mut(AT_A_TIME).zip(pixels.par_chunks(AT_A_TIME));
    chunks.for_each(|(normalised, pixels)| {
        for (normalised, pixel) in normalised.iter_mut().zip(pixels) {
            *normalised = values[usize::from(*pixel)];
        }
    });
    normalised
}

/// Images as the network takes them: RGB bytes `[images, height, width, 3]` to `[images, 3, height, width]`
/// with values (v − 127.5) / 127.5. In memory channels stay last, as kernels for the processor read them.
pub fn to_input(pixels: &[u8], [height, width]: [usize; 2], device: &Device) -> Tensor<4> {
    let images = pixels.len() / (height * width * 3);
    let values = TensorData::new(normalised(pixels), [images, height, width, 3]);
    Tensor::<4>::from_data(values, device).permute([0, 3, 1, 2])
}
