//! The operations of heads against the same composed of Burn's.

use burn::tensor::{
    Device, Gradients, Int, TensorData,
    activation::{log_softmax, softplus},
};

use super::*;
use crate::tests::{assert_close, compare, devices, draw, leaf, untracked, values};

const EPSILON: f64 = 1e-10;

/// Labels spread over the classes, the first and the last among them, and one of them twice.
fn labels(batch: usize, classes: usize) -> Arc<[usize]> {
    (0..batch).map(|i| [0, classes - 1, classes / 2, 0, classes / 3][i % 5]).collect()
}

/// The same on the device, of shape `[batch, 1]`.
fn indices(labels: &[usize], device: &Device) -> Tensor<2, Int> {
    let labels: Vec<i32> = labels.iter().map(|label| *label as i32).collect();
    let length = labels.len();
    Tensor::from_data(TensorData::new(labels, [length, 1]), device)
}

fn composed_products(
    x: Tensor<2>,
    weight: Tensor<2>,
    bias: Option<Tensor<1>>,
    normalise: Option<f64>,
) -> Tensor<2> {
    let weight = match normalise {
        Some(epsilon) => weight.clone() / (weight.square().sum_dim(1) + epsilon).sqrt(),
        None => weight,
    };
    let p = x.matmul(weight.transpose());
    match bias {
        Some(bias) => p + bias.unsqueeze(),
        None => p,
    }
}

fn composed_pick(products: Tensor<2>, labels: &[usize]) -> Tensor<1> {
    let indices = indices(labels, &products.device());
    products.gather(1, indices).squeeze_dim(1)
}

/// 1 where a class is the label of the row, of shape `[batch, classes]`.
fn hot(labels: &[usize], classes: usize, device: &Device) -> Tensor<2> {
    let mut hot = vec![0.0f32; labels.len() * classes];
    labels.iter().enumerate().for_each(|(row, label)| hot[row * classes + label] = 1.0);
    Tensor::from_data(TensorData::new(hot, [labels.len(), classes]), device)
}

fn composed_rule(p: Tensor<2>, threshold: Option<Tensor<1>>, rule: LogitRule) -> Tensor<2> {
    match rule {
        LogitRule::Scaled { scale } => p * scale,
        LogitRule::Hard { scale, polynomial: [a, b, c] } => {
            let hard = p.clone().greater(threshold.unwrap().unsqueeze_dim::<2>(1).expand(p.dims()));
            let changed = p.clone().square() * a + p.clone() * b + c;
            p.mask_where(hard, changed) * scale
        }
        LogitRule::Circle { scale, margin, detached } => {
            let alpha = (p.clone() + margin).clamp_min(0.0);
            let alpha = if detached { alpha.detach() } else { alpha };
            alpha * (p - margin) * scale
        }
        LogitRule::Sharpened { scale, power, shift, detached } => {
            let share = (p.clone().clamp(-1.0, 1.0) + 1.0) / 2.0;
            let sharp = share.powf_scalar(power) * 2.0 - 1.0;
            let sharp = if detached { p.clone() + (sharp - p).detach() } else { sharp };
            sharp * scale + shift
        }
    }
}

fn composed_reduce(
    products: Tensor<2>,
    target: Tensor<1>,
    offset: Option<Tensor<1>>,
    threshold: Option<Tensor<1>>,
    labels: &[usize],
    rule: LogitRule,
    reduction: Reduction,
) -> Tensor<1> {
    let [batch, classes] = products.dims();
    let hot = hot(labels, classes, &products.device());
    let others = hot.clone().neg() + 1.0;
    let z = composed_rule(products, threshold, rule);
    let z = match offset {
        Some(offset) => z + offset.unsqueeze_dim::<2>(1),
        None => z,
    };
    let column = target.clone().unsqueeze_dim::<2>(1);
    let with_target = z.clone() * others.clone() + column.clone() * hot.clone();
    let hinge = |delta: f64| (z.clone() - column.clone() + delta).clamp_min(0.0) * others.clone();
    let rows = match reduction {
        Reduction::LogSumExp => {
            // ln Σ e^z = z_y − ln softmax_y.
            let log_p = log_softmax(with_target, 1).gather(1, indices(labels, &hot.device()));
            column - log_p
        }
        Reduction::Sum => with_target.sum_dim(1),
        Reduction::HingeSum { delta } => hinge(delta).sum_dim(1),
        Reduction::HingeMax { delta } => hinge(delta).max_dim(1),
        Reduction::Softplus => (softplus(z, 1.0) * others).sum_dim(1),
    };
    rows.reshape([batch])
}

fn backward<const D: usize>(y: Tensor<D>) -> Gradients {
    let weights = draw(9, y.dims(), &y.device());
    (y * weights).sum().backward()
}

/// A graph behind a tensor, so that it is no leaf.
fn computed<const D: usize>(x: &Tensor<D>) -> Tensor<D> {
    x.clone() * 1.5
}

#[test]
fn class_products_and_their_gradients_are_those_of_burn() {
    for device in devices() {
        let training = device.autodiff();
        for (batch, length, classes) in [(1, 7, 2), (3, 40, 33), (40, 33, 190)] {
            for (bias, normalise) in [(true, None), (false, Some(EPSILON)), (true, Some(0.5))] {
                let x = leaf(draw(1, [batch, length], &training));
                let weight = leaf(draw(2, [classes, length], &training));
                let bias = bias.then(|| leaf(draw(3, [classes], &training)));
                let what = format!("{training:?}, {batch} of {length} to {classes}, {normalise:?}");
                for read in [Tensor::clone, computed] {
                    let expected = composed_products(read(&x), read(&weight), bias.clone(), normalise);
                    let found = class_products(read(&x), read(&weight), bias.clone(), normalise);
                    assert_close(&what, found.clone(), expected.clone());
                    let inner = class_products(
                        read(&x).inner(),
                        read(&weight).inner(),
                        bias.clone().map(Tensor::inner),
                        normalise,
                    );
                    assert_close(&what, inner, expected.clone().inner());
                    let (found, expected) = (backward(found), backward(expected));
                    compare(&format!("{what}: x"), &x, &found, &expected);
                    compare(&format!("{what}: weight"), &weight, &found, &expected);
                    if let Some(bias) = &bias {
                        compare(&format!("{what}: bias"), bias, &found, &expected);
                    }
                }
            }
        }
    }
}

#[test]
fn only_tracked_parents_get_gradients() {
    for device in devices() {
        let training = device.autodiff();
        let x = leaf(draw(1, [3, 7], &training));
        let weight = leaf(draw(2, [5, 7], &training));
        let all = backward(class_products(x.clone(), weight.clone(), None, None));
        let only_x = backward(class_products(x.clone(), untracked(weight.clone()), None, None));
        let only_weight = backward(class_products(untracked(x.clone()), weight.clone(), None, None));
        assert!(weight.grad(&only_x).is_none() && x.grad(&only_weight).is_none());
        compare("x", &x, &only_x, &all);
        compare("weight", &weight, &only_weight, &all);

        let labels = labels(3, 5);
        let p = untracked(draw(3, [3, 5], &training));
        let rule = LogitRule::Scaled { scale: 2.0 };
        let y = reduce(p.clone(), pick(p.clone(), &labels), None, None, &labels, rule, Reduction::Sum);
        assert!(!y.is_require_grad() && !pick_rows(p.clone().transpose(), &labels).is_require_grad());
        assert!(!group_max(p, 5).is_require_grad());
    }
}

const RULES: [LogitRule; 7] = [
    LogitRule::Scaled { scale: 7.0 },
    LogitRule::Hard { scale: 7.0, polynomial: [1.0, 0.2, 0.0] },
    LogitRule::Hard { scale: 3.0, polynomial: [0.0, 1.3, 0.3] },
    LogitRule::Circle { scale: 7.0, margin: 0.25, detached: false },
    LogitRule::Circle { scale: 7.0, margin: 0.25, detached: true },
    LogitRule::Sharpened { scale: 7.0, power: 3.0, shift: -1.5, detached: false },
    LogitRule::Sharpened { scale: 7.0, power: 3.0, shift: -1.5, detached: true },
];

fn thresholds(batch: usize, device: &Device) -> Tensor<1> {
    draw(7, [batch], device) * 0.5
}

const REDUCTIONS: [Reduction; 5] = [
    Reduction::LogSumExp,
    Reduction::Sum,
    Reduction::HingeSum { delta: 1.0 },
    Reduction::HingeMax { delta: 1.0 },
    Reduction::Softplus,
];

#[test]
fn reductions_and_their_gradients_are_those_of_burn() {
    for device in devices() {
        let training = device.autodiff();
        for (batch, classes) in [(1, 2), (6, 45)] {
            let labels = labels(batch, classes);
            let products = leaf(draw(1, [batch, classes], &training));
            let (target, offset) =
                (leaf(draw(2, [batch], &training) * 5.0), leaf(draw(3, [batch], &training)));
            let threshold = thresholds(batch, &training);
            for (i, rule) in RULES.into_iter().enumerate() {
                for reduction in REDUCTIONS {
                    // Of every kind with and without.
                    let given = (i % 2 == 0).then(|| offset.clone());
                    let what = format!("{training:?}, {batch} of {classes}, {rule:?}, {reduction:?}");
                    for read in [Tensor::clone, computed] {
                        let expected = composed_reduce(
                            read(&products),
                            target.clone(),
                            given.clone(),
                            Some(threshold.clone()),
                            &labels,
                            rule,
                            reduction,
                        );
                        let found = reduce(
                            read(&products),
                            target.clone(),
                            given.clone(),
                            Some(threshold.clone()),
                            &labels,
                            rule,
                            reduction,
                        );
                        assert_close(&what, found.clone(), expected.clone());
                        let (found, expected) = (backward(found), backward(expected));
                        compare(&format!("{what}: products"), &products, &found, &expected);
                        if reduction != Reduction::Softplus {
                            compare(&format!("{what}: target"), &target, &found, &expected);
                        }
                        if given.is_some() {
                            compare(&format!("{what}: offset"), &offset, &found, &expected);
                        }
                    }
                }
            }
        }
    }
}

/// A head as they are used: what is picked makes the target, and everything reads the same products.
#[test]
fn a_head_and_its_gradients_are_those_of_burn() {
    for device in devices() {
        let training = device.autodiff();
        for (batch, classes, group) in [(1, 2, 1), (7, 61, 1), (5, 20, 3)] {
            let labels = labels(batch, classes);
            let x = leaf(draw(1, [batch, 12], &training));
            let weight = leaf(draw(2, [classes * group, 12], &training));
            let rule = LogitRule::Scaled { scale: 8.0 };
            for read in [Tensor::clone, computed] {
                let what = format!("{training:?}, {batch} of {classes}");
                let margin = |cosine: Tensor<1>| (cosine.clone() - cosine.square() * 0.1 - 0.2) * 8.0;

                let p = class_products(read(&x), read(&weight), None, Some(EPSILON));
                let p = if group > 1 { group_max(p, group) } else { p };
                let cosine = pick(p.clone(), &labels);
                let [mean, largest] = others(p.clone(), &labels);
                let target = margin(cosine.clone());
                // A second reader of the label's product, and a second reduction.
                let hinge = reduce(
                    p.clone(),
                    target.clone(),
                    None,
                    None,
                    &labels,
                    rule,
                    Reduction::HingeSum { delta: 1.0 },
                );
                let lse = reduce(p, target.clone(), None, None, &labels, rule, Reduction::LogSumExp);
                let found = lse - target + hinge * 0.1 + cosine;

                let p = composed_products(read(&x), read(&weight), None, Some(EPSILON));
                let p = match group {
                    1 => p,
                    _ => p.reshape([batch, classes, group]).max_dim(2).reshape([batch, classes]),
                };
                let cosine = composed_pick(p.clone(), &labels);
                let target = margin(cosine.clone());
                let hinge = composed_reduce(
                    p.clone(),
                    target.clone(),
                    None,
                    None,
                    &labels,
                    rule,
                    Reduction::HingeSum { delta: 1.0 },
                );
                let lse = composed_reduce(
                    p.clone(),
                    target.clone(),
                    None,
                    None,
                    &labels,
                    rule,
                    Reduction::LogSumExp,
                );
                let expected = lse - target + hinge * 0.1 + cosine;

                let p = p.inner();
                let hot = hot(&labels, classes, &p.device());
                let rest = p.clone() * (hot.clone().neg() + 1.0);
                let expected_mean = rest.clone().sum_dim(1).reshape([batch]) / (classes - 1) as f64;
                assert_close(&what, mean.clone().inner(), expected_mean);
                let below = p.min().into_scalar::<f32>() - 1.0;
                assert_close(
                    &what,
                    largest.clone().inner(),
                    (rest + hot * below).max_dim(1).reshape([batch]),
                );
                assert!(!mean.is_require_grad() && !largest.is_require_grad());

                assert_close(&what, found.clone(), expected.clone());
                let (found, expected) = (backward(found), backward(expected));
                compare(&format!("{what}: x"), &x, &found, &expected);
                compare(&format!("{what}: weight"), &weight, &found, &expected);
            }
        }
    }
}

#[test]
fn picked_numbers_have_their_gradients_in_every_order_of_the_graph() {
    for device in devices() {
        let training = device.autodiff();
        let labels = labels(6, 9);
        let rule = LogitRule::Scaled { scale: 2.0 };
        let p = leaf(draw(1, [6, 9], &training));
        for read in [Tensor::clone, computed] {
            let weights = draw(4, [6, 9], &training);
            type Pick = fn(Tensor<2>, &Arc<[usize]>) -> Tensor<1>;
            type Reduce = fn(Tensor<2>, Tensor<1>, &Arc<[usize]>, LogitRule) -> Tensor<1>;
            let gradient = |pick: Pick, reduce: Reduce, order: usize| {
                let products = read(&p);
                let dense = || (products.clone() * weights.clone()).sum();
                let loss = match order {
                    // Alone, twice, before and after what Burn or this crate registers.
                    0 => pick(products.clone(), &labels).sum(),
                    1 => (pick(products.clone(), &labels) * pick(products.clone(), &labels)).sum(),
                    2 => pick(products.clone(), &labels).square().sum() + dense(),
                    3 => dense().exp() + pick(products.clone(), &labels).sum(),
                    4 => {
                        let target = untracked(draw(5, [6], &training));
                        pick(products.clone(), &labels).sum()
                            + reduce(products.clone(), target.clone(), &labels, rule).sum()
                            + reduce(products.clone(), target, &labels, rule).square().sum()
                    }
                    _ => {
                        let target = pick(products.clone(), &labels);
                        reduce(products.clone(), target, &labels, rule).sum() + dense()
                    }
                };
                drop(products);
                p.grad(&loss.backward()).unwrap()
            };
            for order in 0..6 {
                let lse = |p: Tensor<2>, target: Tensor<1>, labels: &Arc<[usize]>, rule: LogitRule| {
                    super::reduce(p, target, None, None, labels, rule, Reduction::LogSumExp)
                };
                let composed = |p: Tensor<2>, target: Tensor<1>, labels: &Arc<[usize]>, rule: LogitRule| {
                    composed_reduce(p, target, None, None, labels, rule, Reduction::LogSumExp)
                };
                let expected = gradient(|p, labels| composed_pick(p, labels), composed, order);
                assert_close(&format!("{training:?}, {order}"), gradient(super::pick, lse, order), expected);
            }
        }
    }
}

#[test]
fn picked_rows_have_their_gradients_beside_those_of_the_products() {
    for device in devices() {
        let training = device.autodiff();
        let (batch, classes) = (6, 9);
        let labels = labels(batch, classes);
        let (x, weight) = (leaf(draw(1, [batch, 5], &training)), leaf(draw(2, [classes, 5], &training)));
        let select = |weight: Tensor<2>| {
            let indices = indices(&labels, &training);
            weight.select(0, indices.squeeze_dim(1))
        };
        for read in [Tensor::clone, computed] {
            let rows = pick_rows(read(&weight), &labels);
            assert_close("rows", rows, select(read(&weight)));
            for order in 0..3 {
                let loss = |found: bool| {
                    let weight = read(&weight);
                    let rows =
                        |weight: Tensor<2>| if found { pick_rows(weight, &labels) } else { select(weight) };
                    let products = match found {
                        true => class_products(computed(&x), weight.clone(), None, Some(EPSILON)),
                        false => composed_products(computed(&x), weight.clone(), None, Some(EPSILON)),
                    };
                    match order {
                        0 => rows(weight).square().sum(),
                        1 => products.square().sum() + (rows(weight) * x.clone()).square().sum(),
                        _ => rows(weight.clone()).sum().exp() + rows(weight).square().sum() + products.sum(),
                    }
                };
                let (found, expected) = (loss(true).backward(), loss(false).backward());
                compare(&format!("{training:?}, {order}"), &weight, &found, &expected);
                // The leaf can be read once more.
                compare(&format!("{training:?}, {order}"), &weight, &found, &expected);
            }
        }
        // Two backward passes of one leaf, and a graph that is dropped between them.
        let first = pick_rows(weight.clone(), &labels).square().sum().backward();
        drop(pick_rows(weight.clone(), &labels).sum());
        let second = pick_rows(weight.clone(), &labels).square().sum().backward();
        compare("again", &weight, &second, &first);
    }
}

#[test]
fn products_that_something_else_holds_are_not_changed() {
    for device in devices() {
        let training = device.autodiff();
        let labels = labels(4, 30);
        let (x, weight) = (leaf(draw(1, [4, 8], &training)), leaf(draw(2, [30, 8], &training)));
        let rule = LogitRule::Scaled { scale: 3.0 };
        let run = |hold: bool| {
            let p = class_products(x.clone(), weight.clone(), None, None);
            let pooled = group_max(p.clone(), 3);
            let held = hold.then(|| [p.clone(), p.clone().inner()]);
            let before = held.as_ref().map(|held| values(held[0].clone()));
            let target = pick(p.clone(), &labels);
            let loss =
                reduce(p, target, None, None, &labels, rule, Reduction::LogSumExp).sum() + pooled.sum();
            let gradients = loss.backward();
            if let (Some(held), Some(before)) = (held, before) {
                assert!(held.into_iter().all(|held| values(held) == before));
            }
            [values(x.grad(&gradients).unwrap()), values(weight.grad(&gradients).unwrap())]
        };
        assert_eq!(run(true), run(false));
    }
}

/// The memory of the products is the memory of their gradient.
#[test]
fn a_gradient_is_in_the_memory_of_the_products() {
    #[cfg(feature = "flex")]
    check::<burn::backend::Flex>();
    #[cfg(feature = "ndarray")]
    check::<burn::backend::NdArray>();

    #[cfg(any(feature = "flex", feature = "ndarray"))]
    fn check<B: crate::host::Host>() {
        use crate::host::{tensor, vector};
        let device = B::Device::default();
        let products = tensor::<B>(vec![0.5; 20], [2, 10], &device);
        let start = B::slice(&products).as_ptr();
        let rest = host::RowTerms::<B> {
            target: vector::<B>(vec![0.1; 2], &device),
            offset: Optional::Absent,
            threshold: Optional::Absent,
            labels: [3, 9].into(),
            rule: LogitRule::Scaled { scale: 2.0 },
            reduction: Reduction::LogSumExp,
        };
        let (_, value) = rest.forward(&products);
        let [found, ..] = rest.backward(products, &value, vector::<B>(vec![1.0; 2], &device));
        assert_eq!(B::slice(&found).as_ptr(), start);
        let found = host::group_max_backward::<B>(found, 5, vector::<B>(vec![1.0; 4], &device));
        assert_eq!(B::slice(&found).as_ptr(), start);
    }
}

/// With Burn's checkpoints, which drop tensors and compute them again.
#[test]
fn checkpoints_change_nothing() {
    for device in devices() {
        let gradients = |device: &Device| {
            let labels = labels(4, 30);
            let (x, weight) = (leaf(draw(1, [4, 8], device)), leaf(draw(2, [30, 8], device)));
            let p = class_products(x.clone() * 0.5, weight.clone() * 2.0, None, Some(EPSILON));
            let target = pick(p.clone(), &labels) - 0.3;
            let rows = pick_rows(weight.clone() * 2.0, &labels);
            let rule = LogitRule::Scaled { scale: 3.0 };
            let loss = reduce(p * 0.5, target, None, None, &labels, rule, Reduction::LogSumExp);
            let gradients = (loss.sum() + rows.square().sum()).backward();
            [values(x.grad(&gradients).unwrap()), values(weight.grad(&gradients).unwrap())]
        };
        let training = device.autodiff();
        assert_eq!(gradients(&training.clone().gradient_checkpointing()), gradients(&training));
    }
}

#[test]
fn views_are_read_as_such() {
    for device in devices() {
        let labels = labels(4, 6);
        let whole = draw(1, [9, 8], &device);
        let part = whole.clone().slice([2..6, 1..7]);
        let swapped = whole.slice([0..6, 0..4]).transpose();
        for p in [part, swapped] {
            assert_close("pick", pick(p.clone(), &labels), composed_pick(p.clone(), &labels));
            let rule = LogitRule::Scaled { scale: 2.0 };
            let target = draw(2, [4], &device);
            let found = reduce(p.clone(), target.clone(), None, None, &labels, rule, Reduction::LogSumExp);
            let expected =
                composed_reduce(p.clone(), target, None, None, &labels, rule, Reduction::LogSumExp);
            assert_close("reduce", found, expected);
            let found = class_products(p.clone(), p.clone(), None, Some(EPSILON));
            assert_close("products", found, composed_products(p.clone(), p, None, Some(EPSILON)));
        }
    }
}

#[test]
fn nan_passes_through() {
    for device in devices() {
        let training = device.autodiff();
        let mut elements = values(draw(1, [3, 8], &training));
        elements[9] = f32::NAN;
        let x = Tensor::from_data(TensorData::new(elements, [3, 8]), &training).require_grad();
        let weight = leaf(draw(2, [5, 8], &training));
        let labels = labels(3, 5);
        let p = class_products(x, weight.clone(), None, Some(EPSILON));
        let threshold = Some(thresholds(3, &training));
        for rule in RULES {
            for reduction in REDUCTIONS {
                let target = draw(3, [3], &training);
                let y = values(reduce(p.clone(), target, None, threshold.clone(), &labels, rule, reduction));
                assert!(y[1].is_nan() && y[0].is_finite() && y[2].is_finite(), "{rule:?}, {reduction:?}");
            }
        }
        let rule = LogitRule::Scaled { scale: 2.0 };
        let loss = reduce(p.clone(), pick(p, &labels), None, None, &labels, rule, Reduction::LogSumExp);
        assert!(values(weight.grad(&loss.sum().backward()).unwrap()).iter().all(|g| g.is_nan()));
    }
}

#[test]
#[should_panic(expected = "label 5 is not below the number of classes, 5")]
fn labels_are_checked() {
    pick(Tensor::zeros([1, 5], &devices()[0]), &[5].into());
}
