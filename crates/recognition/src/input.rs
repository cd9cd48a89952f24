//! The bytes of images as the input of a network.

use burn::tensor::{Device, Tensor, TensorData};

/// The bytes of images as the values that networks take, (v − 127.5) / 127.5, in the same order.
pub fn normalised(pixels: &[u8]) -> Vec<f32> {
    pixels.iter().map(|value| (f32::from(*value) - 127.5) / 127.5).collect()
}

/// Images as the network takes them: RGB bytes `[images, height, width, 3]` to `[images, 3, height, width]`
/// with values (v − 127.5) / 127.5.
pub fn to_input(pixels: &[u8], [height, width]: [usize; 2], device: &Device) -> Tensor<4> {
    let plane = height * width;
    let images = pixels.len() / (plane * 3);
    let mut values = vec![0.0f32; pixels.len()];
    for (image, out) in pixels.chunks_exact(plane * 3).zip(values.chunks_exact_mut(plane * 3)) {
        for (channel, out) in out.chunks_exact_mut(plane).enumerate() {
            for (pixel, out) in image.chunks_exact(3).zip(out) {
                *out = (f32::from(pixel[channel]) - 127.5) / 127.5;
            }
        }
    }
    Tensor::from_data(TensorData::new(values, [images, 3, height, width]), device)
}
