use super::*;
use crate::tests::{noise, on_each_isa};

const RULES: [LogitRule; 7] = [
    LogitRule::Scaled { scale: 7.0 },
    // t + α·p of hard examples, and (t + 1)·p + t.
    LogitRule::Hard { scale: 7.0, polynomial: [1.0, 0.2, 0.0] },
    LogitRule::Hard { scale: 3.0, polynomial: [0.0, 1.3, 0.3] },
    LogitRule::Circle { scale: 7.0, margin: 0.25, detached: false },
    LogitRule::Circle { scale: 7.0, margin: 0.25, detached: true },
    LogitRule::Sharpened { scale: 7.0, power: 3.0, shift: -1.5, detached: false },
    LogitRule::Sharpened { scale: 7.0, power: 3.0, shift: -1.5, detached: true },
];

const REDUCTIONS: [Reduction; 5] = [
    Reduction::LogSumExp,
    Reduction::Sum,
    Reduction::HingeSum { delta: 1.0 },
    Reduction::HingeMax { delta: 1.0 },
    Reduction::Softplus,
];

/// z and dz/dp by the formulas.
fn logit(rule: LogitRule, p: f64, threshold: f64) -> (f64, f64) {
    let (scale, z, slope) = match rule {
        LogitRule::Scaled { scale } => (scale, p, 1.0),
        LogitRule::Hard { scale, polynomial } if p > threshold => {
            let [a, b, c] = polynomial;
            (scale, a * p * p + b * p + c, 2.0 * a * p + b)
        }
        LogitRule::Hard { scale, .. } => (scale, p, 1.0),
        LogitRule::Circle { scale, margin, detached } => {
            let m = margin;
            let alpha = (p + m).max(0.0);
            let exact = if p > -m { 2.0 * p } else { 0.0 };
            (scale, alpha * (p - m), if detached { alpha } else { exact })
        }
        LogitRule::Sharpened { scale, power, shift, detached } => {
            let (t, share) = (power, (p.clamp(-1.0, 1.0) + 1.0) / 2.0);
            let z = 2.0 * share.powf(t) - 1.0 + shift / scale;
            let exact = match (-1.0..=1.0).contains(&p) {
                true => t * share.max(0.5f64.powi(25)).powf(t - 1.0),
                false => 0.0,
            };
            (scale, z, if detached { 1.0 } else { exact })
        }
    };
    (scale * z, scale * slope)
}

/// The result of a row, and the derivatives by z_y and the others.
fn reduced(reduction: Reduction, target: f64, z: &[f64]) -> (f64, f64, Vec<f64>) {
    let largest = z.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    match reduction {
        Reduction::LogSumExp => {
            let from = largest.max(target);
            let total = (target - from).exp() + z.iter().map(|z| (z - from).exp()).sum::<f64>();
            let share = |z: f64| (z - from).exp() / total;
            (from + total.ln(), share(target), z.iter().map(|z| share(*z)).collect())
        }
        Reduction::Sum => (target + z.iter().sum::<f64>(), 1.0, vec![1.0; z.len()]),
        Reduction::HingeSum { delta } => {
            let distances = z.iter().map(|z| z - target + delta);
            let above: Vec<f64> = distances.clone().map(|d| f64::from(u8::from(d > 0.0))).collect();
            (distances.map(|d| d.max(0.0)).sum(), -above.iter().sum::<f64>(), above)
        }
        Reduction::HingeMax { delta } => {
            let distance = largest - target + delta;
            let mut above = vec![0.0; z.len()];
            if distance > 0.0 {
                above[z.iter().position(|z| *z == largest).unwrap()] = 1.0;
            }
            (distance.max(0.0), -above.iter().sum::<f64>(), above)
        }
        Reduction::Softplus => {
            let value = z.iter().map(|z| z.max(0.0) + (-z.abs()).exp().ln_1p()).sum();
            (value, 0.0, z.iter().map(|z| 1.0 / (1.0 + (-z).exp())).collect())
        }
    }
}

struct Case {
    classes: usize,
    labels: Vec<usize>,
    products: Vec<f32>,
    target: Vec<f32>,
    offset: Vec<f32>,
    threshold: Vec<f32>,
    g: Vec<f32>,
}

impl Case {
    /// Labels are at the ends, in the middle, and beside borders of chunks.
    fn new(batch: usize, classes: usize) -> Self {
        let places = [0, classes - 1, classes / 2, CHUNK - 1, CHUNK, 2 * CHUNK];
        let labels = (0..batch).map(|i| places[i % 6] % classes).collect();
        let vector = |seed, scale: f32| noise(batch, seed).iter().map(|x| x * scale).collect();
        Self {
            classes,
            labels,
            products: noise(batch * classes, 1),
            target: vector(2, 5.0),
            offset: vector(3, 0.5),
            threshold: vector(4, 0.5),
            g: vector(5, 1.0),
        }
    }

    fn logits(&self, rule: LogitRule, reduction: Reduction, offset: bool) -> Logits<'_> {
        Logits {
            labels: &self.labels,
            classes: self.classes,
            target: &self.target,
            offset: offset.then_some(&self.offset),
            threshold: Some(&self.threshold),
            rule,
            reduction,
        }
    }

    /// Results and gradients by the formulas.
    fn reference(&self, logits: &Logits<'_>) -> (Vec<f64>, [Vec<f64>; 3]) {
        let (mut values, mut gradients) = (Vec::new(), [const { Vec::new() }; 3]);
        for (i, p) in self.products.chunks_exact(self.classes).enumerate() {
            let offset = logits.offset.map_or(0.0, |offset| f64::from(offset[i]));
            let (label, g) = (self.labels[i], f64::from(self.g[i]));
            let all = p.iter().map(|p| logit(logits.rule, f64::from(*p), f64::from(self.threshold[i])));
            let mut others: Vec<(f64, f64)> = all.map(|(z, slope)| (z + offset, slope)).collect();
            others.remove(label);
            let z: Vec<f64> = others.iter().map(|(z, _)| *z).collect();
            let (value, by_target, by_others) = reduced(logits.reduction, f64::from(self.target[i]), &z);
            values.push(value);
            let mut products: Vec<f64> =
                by_others.iter().zip(&others).map(|(by, (_, slope))| g * by * slope).collect();
            products.insert(label, 0.0);
            gradients[0].extend(products);
            gradients[1].push(g * by_target);
            gradients[2].push(g * by_others.iter().sum::<f64>());
        }
        (values, gradients)
    }
}

#[track_caller]
fn assert_close<T: Copy + Into<f64> + std::fmt::Display>(found: &[T], expected: &[f64], what: &str) {
    assert_eq!(found.len(), expected.len());
    let most = expected.iter().fold(1e-3f64, |most, x| most.max(x.abs()));
    for (i, (found, expected)) in found.iter().zip(expected).enumerate() {
        let off = ((*found).into() - expected).abs() / most;
        // Not `off > 1e-5`, which NaN would pass.
        assert!(off <= 1e-5, "{what}: number {i} is {found}, not {expected}");
    }
}

#[test]
fn reductions_and_gradients_are_the_formulas_whatever_the_threads() {
    for (batch, classes) in [(1, 1), (1, 2), (3, 2), (7, 33), (2, 1000), (6, 2 * CHUNK + 77)] {
        let case = Case::new(batch, classes);
        for (rule, reduction) in RULES.iter().flat_map(|r| REDUCTIONS.map(|reduction| (*r, reduction))) {
            let logits = case.logits(rule, reduction, classes != 33);
            let (values, [products, target, offset]) = case.reference(&logits);
            on_each_isa(|isa| {
                let what = format!("{batch} of {classes}, {rule:?}, {reduction:?}, {}", isa.name());
                let run = || {
                    let value = logits.forward(&case.products);
                    let gradients = logits.backward(case.products.clone(), &value, &case.g);
                    assert_eq!(gradients, logits.backward_from(&case.products, &value, &case.g));
                    (value, gradients)
                };
                let [(value, gradients), again] = [1, 3].map(|threads| {
                    rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap().install(run)
                });
                assert_eq!((&value, &gradients), (&again.0, &again.1), "{what}: another number of threads");
                assert_close(&value, &values, &what);
                assert_close(&gradients.products, &products, &format!("{what}: products"));
                assert_close(&gradients.target, &target, &format!("{what}: target"));
                assert_close(&gradients.offset, &offset, &format!("{what}: offset"));
            });
        }
    }
}

#[test]
fn powers_are_finite_at_and_past_the_ends() {
    let p = [0.3, -1.0, 1.0, -1.1, 1.1, (-1.0f32).next_up(), 1.0f32.next_down()];
    let mut case = Case::new(1, p.len());
    case.products = p.to_vec();
    for (power, detached) in [(0.5, false), (1.0, false), (2.0, false), (7.5, false), (7.5, true)] {
        let rule = LogitRule::Sharpened { scale: 7.0, power, shift: 0.5, detached };
        let logits = case.logits(rule, Reduction::Sum, false);
        let (values, [products, ..]) = case.reference(&logits);
        on_each_isa(|_| {
            let value = logits.forward(&case.products);
            assert_close(&value, &values, "value");
            assert_close(
                &logits.backward_from(&case.products, &value, &case.g).products,
                &products,
                "gradient",
            );
        });
    }
}

#[test]
fn logits_of_any_size_give_finite_results() {
    let mut case = Case::new(2, 5);
    case.products = [-1e30, 1e30, 0.0, 5.0, 1e30, -1e30, -1e30, -1e30, -1e30, -1e30].to_vec();
    case.target = vec![1e30, -1e30];
    case.g = vec![1.0; 2];
    let rule = LogitRule::Scaled { scale: 1.0 };
    on_each_isa(|_| {
        for reduction in [Reduction::LogSumExp, Reduction::Softplus, Reduction::HingeMax { delta: 1.0 }] {
            let logits = case.logits(rule, reduction, false);
            let (values, [products, target, _]) = case.reference(&logits);
            let value = logits.forward(&case.products);
            assert_close(&value, &values, "value");
            let found = logits.backward_from(&case.products, &value, &case.g);
            assert!(found.products.iter().chain(&found.target).all(|g| g.is_finite()));
            // Beside 1e30, logarithms of counts are lost, and with them the shares of equal logits.
            if reduction != Reduction::LogSumExp {
                assert_close(&found.products, &products, "products");
                assert_close(&found.target, &target, "target");
            }
        }
    });
}

#[test]
fn nan_stays_in_its_row() {
    for classes in [2, 40, CHUNK + 50] {
        let mut case = Case::new(3, classes);
        // Row 1 has its label at the end, so this is another class.
        let at = classes + (classes - 2).min(37);
        case.products[at] = f32::NAN;
        for (rule, reduction) in RULES.iter().flat_map(|r| REDUCTIONS.map(|reduction| (*r, reduction))) {
            let logits = case.logits(rule, reduction, true);
            on_each_isa(|isa| {
                let what = format!("{classes}, {rule:?}, {reduction:?}, {}", isa.name());
                let value = logits.forward(&case.products);
                assert_eq!(
                    value.iter().map(|x| x.is_nan()).collect::<Vec<_>>(),
                    [false, true, false],
                    "{what}"
                );
                let gradients = logits.backward_from(&case.products, &value, &case.g);
                let nan = |i: usize| gradients.products[i].is_nan();
                assert!((0..3 * classes).all(|i| !nan(i) || i / classes == 1), "{what}");
                let is_linear = matches!(
                    (rule, reduction),
                    (
                        LogitRule::Scaled { .. }
                            | LogitRule::Hard { .. }
                            | LogitRule::Sharpened { detached: true, .. },
                        Reduction::Sum | Reduction::HingeMax { .. }
                    )
                );
                assert!(nan(at) || is_linear, "{what}");
            });
        }
        on_each_isa(|_| {
            for found in others(&case.products, classes, &case.labels) {
                assert_eq!(found.iter().map(|x| x.is_nan()).collect::<Vec<_>>(), [false, true, false]);
            }
        });
    }
}

#[test]
fn of_equal_logits_the_first_has_the_gradient() {
    let mut case = Case::new(2, 40);
    case.products = vec![0.5; 80];
    (case.target, case.g) = (vec![0.0, 100.0], vec![2.0; 2]);
    let logits = case.logits(LogitRule::Scaled { scale: 3.0 }, Reduction::HingeMax { delta: 1.0 }, false);
    on_each_isa(|_| {
        let value = logits.forward(&case.products);
        assert_eq!(value, [2.5, 0.0]);
        let found = logits.backward_from(&case.products, &value, &case.g);
        // The label of row 0 is 0; row 1 is past its margin.
        assert!(found.products.iter().enumerate().all(|(i, g)| *g == if i == 1 { 6.0 } else { 0.0 }));
        assert_eq!((found.target, found.offset), (vec![-2.0, 0.0], vec![2.0, 0.0]));
    });
}

#[test]
fn others_are_without_the_label() {
    for classes in [2, 31, 3 * CHUNK + 5] {
        let mut case = Case::new(6, classes);
        for (i, label) in case.labels.iter().enumerate() {
            case.products[i * classes + label] = 9.0;
        }
        on_each_isa(|_| {
            let [mean, largest] = others(&case.products, classes, &case.labels);
            for (i, p) in case.products.chunks_exact(classes).enumerate() {
                let rest = || p.iter().copied().filter(|p| *p != 9.0);
                let expected = rest().map(f64::from).sum::<f64>() / (classes - 1) as f64;
                assert!((f64::from(mean[i]) - expected).abs() < 1e-6);
                assert_eq!(largest[i], rest().fold(-1.0, f32::max));
            }
        });
    }
    assert!(others(&[3.0], 1, &[0])[0][0].is_nan());
}

#[test]
fn the_largest_of_a_group_has_its_gradient() {
    for group in [1, 3] {
        let mut x = noise(group * (CHUNK + 30), 1);
        let groups = x.len() / group;
        // Two equal ones, and NaN.
        x[..group].fill(2.0);
        x[2 * group - 1] = f32::NAN;
        let g = noise(groups, 2);
        let y = group_max(&x, group);
        let back = group_max_backward(x.clone(), group, &g);
        assert_eq!((y[0], back[0]), (2.0, g[0]));
        assert!(back[1..group].iter().all(|g| *g == 0.0));
        assert!(y[1].is_nan() && back[2 * group - 1] == g[1]);
        for i in 2..groups {
            let x = &x[i * group..][..group];
            assert_eq!(y[i], x.iter().copied().fold(-1.0, f32::max));
            for (k, x) in x.iter().enumerate() {
                assert_eq!(back[i * group + k], if *x == y[i] { g[i] } else { 0.0 });
            }
        }
    }
}

#[test]
fn picked_numbers_and_rows_are_those_of_the_labels() {
    let mut x = noise(12, 1);
    let labels = [3, 0, 3];
    assert_eq!(pick(&x, 4, &labels), [x[3], x[4], x[11]]);
    assert_eq!(pick_rows(&x, 3, &labels), [&x[9..], &x[..3], &x[9..]].concat());
    let old = x.clone();
    add_to_picked(&mut x, 4, &labels, &[1.0, 2.0, 3.0]);
    let mut expected = old.clone();
    (expected[3], expected[4], expected[11]) = (old[3] + 1.0, old[4] + 2.0, old[11] + 3.0);
    assert_eq!(x, expected);
    let mut x = old.clone();
    // The last row twice.
    add_to_picked_rows(&mut x, 3, &labels, &[1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0, 9.0]);
    let added = [4.0, 5.0, 6.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0];
    assert!((0..9).all(|i| x[i] == old[i] + added[i]));
    assert!((0..3).all(|i| x[9 + i] == old[9 + i] + [1.0, 2.0, 3.0][i] + [7.0, 8.0, 9.0][i]));
}

#[test]
#[should_panic(expected = "not below the number of classes, 4")]
fn labels_are_checked() {
    pick(&[0.0; 8], 4, &[0, 4]);
}
