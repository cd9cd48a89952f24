//! The operators once more, in plain f64 loops: what tests compare with.

use crate::{
    finish::ConvGradients,
    map::Dims,
    problem::{Conv, GradientMask},
    transform::{Input, Moments, Output, Transform, TransformGradients},
};

/// Calls `f(output, input, weight)` with the indices of every product that a convolution sums.
fn products(conv: &Conv, dims: Dims, mut f: impl FnMut(usize, usize, usize)) {
    let out = conv.output(dims);
    let (ins, outs) = (conv.inputs / conv.groups, conv.outputs / conv.groups);
    for b in 0..out.batch {
        for oy in 0..out.height {
            for ox in 0..out.width {
                for o in 0..conv.outputs {
                    let y = ((b * out.height + oy) * out.width + ox) * conv.outputs + o;
                    for i in 0..ins {
                        for ky in 0..conv.kernel[0] {
                            for kx in 0..conv.kernel[1] {
                                let (iy, ix) = (oy * conv.stride + ky, ox * conv.stride + kx);
                                let inside = (conv.padding..conv.padding + dims.height).contains(&iy)
                                    && (conv.padding..conv.padding + dims.width).contains(&ix);
                                if inside {
                                    let (iy, ix) = (iy - conv.padding, ix - conv.padding);
                                    let c = o / outs * ins + i;
                                    let x = ((b * dims.height + iy) * dims.width + ix) * dims.channels + c;
                                    f(y, x, ((o * ins + i) * conv.kernel[0] + ky) * conv.kernel[1] + kx);
                                }
                            }
                        }
                    }
                }
            }
        }
    }
}

/// u and z of a [`Transform`].
pub(crate) fn transformed(x: &[f32], channels: usize, transform: &Transform<'_>) -> (Vec<f64>, Vec<f64>) {
    let u: Vec<f64> = x
        .iter()
        .enumerate()
        .map(|(i, x)| match transform.norm {
            Some(norm) => {
                let c = i % channels;
                let [gamma, beta, mean, variance] =
                    [norm.gamma, norm.beta, norm.mean, norm.variance].map(|v| f64::from(v[c]));
                gamma * (f64::from(*x) - mean) / (variance + f64::from(norm.epsilon)).sqrt() + beta
            }
            None => f64::from(*x),
        })
        .collect();
    let z = u
        .iter()
        .enumerate()
        .map(|(i, u)| match transform.slope {
            Some(slope) if *u < 0.0 => u * f64::from(slope[i % channels]),
            _ => *u,
        })
        .collect();
    (u, z)
}

pub(crate) fn moments(y: &[f64], channels: usize) -> Moments {
    let n = (y.len() / channels) as f64;
    let column = |c: usize| y.iter().skip(c).step_by(channels);
    let mean: Vec<f64> = (0..channels).map(|c| column(c).sum::<f64>() / n).collect();
    let variance =
        (0..channels).map(|c| (column(c).map(|y| (y - mean[c]).powi(2)).sum::<f64>() / n) as f32).collect();
    Moments { mean: mean.into_iter().map(|mean| mean as f32).collect(), variance }
}

fn narrow(values: Vec<f64>) -> Vec<f32> {
    values.into_iter().map(|value| value as f32).collect()
}

pub(crate) fn forward(
    conv: &Conv,
    input: Input<'_>,
    weight: &[f32],
    bias: Option<&[f32]>,
    wanted: bool,
) -> Output {
    let (_, z) = transformed(input.x, conv.inputs, &input.transform);
    let mut y: Vec<f64> = (0..conv.output(input.dims).elements())
        .map(|i| bias.map_or(0.0, |bias| f64::from(bias[i % conv.outputs])))
        .collect();
    products(conv, input.dims, |o, i, w| y[o] += z[i] * f64::from(weight[w]));
    Output { moments: wanted.then(|| moments(&y, conv.outputs)), y: narrow(y) }
}

pub(crate) fn transform_backward(input: Input<'_>, g: &[f64]) -> (Vec<f32>, TransformGradients) {
    let (channels, n) = (input.dims.channels, input.dims.pixels() as f64);
    let (u, _) = transformed(input.x, channels, &input.transform);
    let mut gradients = TransformGradients::default();
    let sums = |values: &dyn Fn(usize) -> f64| {
        let mut sums = vec![0.0; channels];
        (0..u.len()).for_each(|i| sums[i % channels] += values(i));
        sums
    };
    let mut g = g.to_vec();
    if let Some(slope) = input.transform.slope {
        gradients.slope = narrow(sums(&|i| if u[i] < 0.0 { g[i] * u[i] } else { 0.0 }));
        // At 0 the derivative is 1, and 0 for relu.
        let below = |i: usize| u[i] < 0.0 || u[i] == 0.0 && slope[i % channels] == 0.0;
        (0..g.len()).filter(|i| below(*i)).for_each(|i| g[i] *= f64::from(slope[i % channels]));
    }
    if let Some(norm) = input.transform.norm {
        let inverse = |c: usize| (f64::from(norm.variance[c]) + f64::from(norm.epsilon)).sqrt().recip();
        let normalised =
            |i: usize| (f64::from(input.x[i]) - f64::from(norm.mean[i % channels])) * inverse(i % channels);
        let (beta, gamma) = (sums(&|i| g[i]), sums(&|i| g[i] * normalised(i)));
        for (i, g) in g.iter_mut().enumerate() {
            let c = i % channels;
            let through = if norm.of_batch { (beta[c] + normalised(i) * gamma[c]) / n } else { 0.0 };
            *g = f64::from(norm.gamma[c]) * inverse(c) * (*g - through);
        }
        (gradients.beta, gradients.gamma) = (narrow(beta), narrow(gamma));
    }
    (narrow(g), gradients)
}

pub(crate) fn backward(
    conv: &Conv,
    input: Input<'_>,
    weight: &[f32],
    g: &[f32],
    mask: GradientMask,
) -> ConvGradients {
    let (_, z) = transformed(input.x, conv.inputs, &input.transform);
    let mut gradients = ConvGradients::default();
    if mask.input {
        let mut gz = vec![0.0; input.x.len()];
        products(conv, input.dims, |o, i, w| gz[i] += f64::from(g[o]) * f64::from(weight[w]));
        (gradients.x, gradients.transform) = transform_backward(input, &gz);
    }
    if mask.weight {
        let mut gw = vec![0.0; conv.weights()];
        products(conv, input.dims, |o, i, w| gw[w] += f64::from(g[o]) * z[i]);
        gradients.weight = narrow(gw);
    }
    if mask.bias {
        let mut bias = vec![0.0; conv.outputs];
        g.iter().enumerate().for_each(|(i, g)| bias[i % conv.outputs] += f64::from(*g));
        gradients.bias = narrow(bias);
    }
    gradients
}
