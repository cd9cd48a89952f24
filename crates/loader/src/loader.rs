//! Batches for training, decoded ahead by worker threads.
//!
//! What is in a batch depends on the plan, the source, the sampler and the augmentation only. The sampler says
//! which images a step visits; visit `n` of image `i` is changed by `Stream(seed, Augmentation, n, i)`.
//! So a run continues at any step without saved state, and the number of threads changes nothing.

use std::{
    any::Any,
    collections::{HashSet, VecDeque},
    io, mem,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{Arc, Condvar, Mutex, MutexGuard, OnceLock, PoisonError},
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use bytes::BytesMut;
use facegrad_random::{Purpose, Stream};
use facegrad_settings::{settings, within};

use facegrad_faces::{FaceError, FaceSource};
use facegrad_pictures::{AugmentationConfig, Picture};

use crate::{Sampler, SamplerConfig, SamplerError, Visit};

/// How many images are tried in place of one that cannot be read, after those of its own identity.
const MAX_STRANGERS: usize = 100;

settings! {
    /// How batches are prepared.
    pub struct LoaderConfig {
        /// Threads that decode images; 0 means one per core.
        workers: usize = 0, within(0, 1024);
        /// Batches that are decoded ahead.
        queue: usize = 4, within(1, 1024);
        /// Training fails when more than this share of the images, rounded up to whole images, cannot be
        /// read; up to that they are replaced by others. At 0 the first such image is an error.
        max_bad_share: f64 = 0.01, within(0.0, 1.0);
    }
}

/// Of so many images the number that may be unreadable with a value of `max_bad_share`.
pub fn allowed_bad(max_bad_share: f64, images: usize) -> usize {
    // Without the small term, 7 % of 100 would round up to 8.
    (max_bad_share * images as f64 - 1e-9).ceil() as usize
}

/// Which batches to load.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Plan {
    /// Decides order, augmentation and replacements.
    pub seed: u64,
    /// Images in a batch.
    pub batch: usize,
    /// Height and width of the images in pixels.
    pub size: [usize; 2],
    /// The first step to load, counted from 0 at the start of the run.
    pub start_step: usize,
    /// The step before which to stop.
    pub end_step: usize,
}

impl Plan {
    /// Whole batches in a set of `images` images; step `s` belongs to epoch `s / steps_per_epoch`.
    pub fn steps_per_epoch(&self, images: usize) -> usize {
        images.checked_div(self.batch).unwrap_or(0)
    }
}

/// The images of one training step.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ImageBatch {
    /// RGB bytes, `[batch, height, width, 3]`.
    pub pixels: Vec<u8>,
    /// The label of each image, `[batch]`.
    pub labels: Vec<usize>,
    /// The index of each image in the source, `[batch]`; of its replacement where one was needed.
    pub indices: Vec<usize>,
    /// The training step, counted from 0 at the start of the run.
    pub step: usize,
    /// The epoch, counted from 0.
    pub epoch: usize,
    /// Batches of the epoch before this one.
    pub position: usize,
}

/// Why there are no batches, or no further ones.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs)] // The sentences say what the fields are.
pub enum LoaderError {
    /// Batches or images of size zero.
    #[error("the batch size and the sides of the input must be at least 1")]
    EmptyBatch,
    /// The source cannot fill the batches that the sampler makes.
    #[error(transparent)]
    Sampler(#[from] SamplerError),
    /// More images are unreadable than `max_bad_share` allows.
    #[error(
        "{bad} of {images} images ({:.2} %) cannot be used, more than max_bad_share = {limit} allows; the first is {first}",
        *bad as f64 / *images as f64 * 100.0
    )]
    TooManyBad {
        bad: usize,
        images: usize,
        /// The key `max_bad_share`.
        limit: f64,
        first: FaceError,
    },
    /// None of the images tried in place of an unreadable one could be read either.
    #[error("no image could be read in place of {0}")]
    NoReplacement(FaceError),
    /// The program failed while it prepared an image.
    #[error("a loader thread failed on {image}: {message}")]
    Panicked { image: String, message: String },
    /// The system gave no threads.
    #[error("the loader threads cannot be started: {0}")]
    Threads(#[source] io::Error),
}

/// An iterator over the batches of a [`Plan`], in order; it ends after an error.
///
/// An image that cannot be read is replaced by one of the same identity if there is one that can, else by
/// any, drawn from `Stream(seed, Replacement, visit, image)`; see [`Loader::skipped`]. So a sampler's promise of
/// who is in a batch holds for images that can be read. Dropping the loader stops its threads.
pub struct Loader {
    shared: Arc<Shared>,
    workers: Vec<JoinHandle<()>>,
    max_bad_share: f64,
    finished: bool,
    bad: HashSet<usize>,
    skipped: Vec<FaceError>,
    waited: Duration,
}

/// What the threads share.
struct Shared {
    source: Arc<dyn FaceSource>,
    plan: Plan,
    augmentation: AugmentationConfig,
    steps_per_epoch: usize,
    /// Batches decoded ahead.
    queue: usize,
    /// The images of each identity, made when the first replacement is needed.
    by_label: OnceLock<Vec<Vec<usize>>>,
    state: Mutex<State>,
    /// Signalled when there may be images to decode, or none ever again.
    work: Condvar,
    /// Signalled when a batch is complete.
    ready: Condvar,
}

struct State {
    /// Batches being filled, of which the first is that of `front`.
    pending: VecDeque<Pending>,
    /// The step to deliver next.
    front: usize,
    sampler: Box<dyn Sampler>,
    stop: bool,
}

/// A batch being filled.
struct Pending {
    batch: ImageBatch,
    /// Pieces of one memory, one an image, that becomes the pixels of the batch. A worker has that of its image and
    /// writes into it without a lock.
    slots: Vec<BytesMut>,
    /// What the sampler asked for.
    visits: Vec<Visit>,
    /// Images handed out to workers.
    issued: usize,
    /// Images still missing.
    missing: usize,
    /// The slot and index of what could not be read, in no particular order.
    bad: Vec<(usize, usize, FaceError)>,
    /// The first slot that has no image, and why.
    failure: Option<(usize, LoaderError)>,
}

/// One image to prepare.
struct Job {
    step: usize,
    slot: usize,
    visit: Visit,
    /// Where it goes.
    pixels: BytesMut,
}

/// What a worker does next.
enum Next {
    Job(Job),
    /// Nothing until a batch is taken.
    QueueFull,
    /// Nothing ever again.
    Nothing,
}

impl Loader {
    /// Starts to load the batches of `plan`.
    pub fn start(
        source: Arc<dyn FaceSource>,
        plan: Plan,
        sampler: &SamplerConfig,
        augmentation: AugmentationConfig,
        config: LoaderConfig,
    ) -> Result<Self, LoaderError> {
        if plan.batch == 0 || plan.size.contains(&0) {
            return Err(LoaderError::EmptyBatch);
        }
        let sampler = sampler.build(source.as_ref(), plan.seed, plan.batch)?;
        let shared = Arc::new(Shared {
            steps_per_epoch: plan.steps_per_epoch(source.len()),
            source,
            plan,
            augmentation,
            queue: config.queue.max(1),
            by_label: OnceLock::new(),
            state: Mutex::new(State {
                pending: VecDeque::new(),
                front: plan.start_step,
                sampler,
                stop: false,
            }),
            work: Condvar::new(),
            ready: Condvar::new(),
        });
        let mut loader = Self {
            shared,
            workers: Vec::new(),
            max_bad_share: config.max_bad_share,
            finished: false,
            bad: HashSet::new(),
            skipped: Vec::new(),
            waited: Duration::ZERO,
        };
        loader.spawn(config.workers).map_err(LoaderError::Threads)?;
        Ok(loader)
    }

    fn spawn(&mut self, workers: usize) -> io::Result<()> {
        let workers = match workers {
            0 => thread::available_parallelism().map_or(1, usize::from),
            n => n,
        };
        for number in 0..workers {
            let shared = self.shared.clone();
            let name = format!("loader-{number}");
            self.workers.push(thread::Builder::new().name(name).spawn(move || shared.work())?);
        }
        Ok(())
    }

    /// How long the caller has waited for batches in all.
    pub fn waited(&self) -> Duration {
        self.waited
    }

    /// The images that could not be read so far, each once, in the order they were met.
    pub fn skipped(&self) -> &[FaceError] {
        &self.skipped
    }

    /// Records what could not be read, and fails if it is too much.
    fn account(&mut self, mut pending: Pending) -> Result<ImageBatch, LoaderError> {
        // By slot, so that neither the record nor the error depends on which thread was first.
        pending.bad.sort_by_key(|(slot, ..)| *slot);
        for (_, index, error) in pending.bad {
            if self.bad.insert(index) {
                self.skipped.push(error);
            }
        }
        let images = self.shared.source.len();
        let allowed = allowed_bad(self.max_bad_share, images);
        match self.skipped.first() {
            Some(first) if self.skipped.len() > allowed => Err(LoaderError::TooManyBad {
                bad: self.skipped.len(),
                images,
                limit: self.max_bad_share,
                first: first.clone(),
            }),
            _ => match pending.failure {
                Some((_, error)) => Err(error),
                None => Ok(ImageBatch { pixels: joined(pending.slots), ..pending.batch }),
            },
        }
    }
}

impl Iterator for Loader {
    type Item = Result<ImageBatch, LoaderError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.finished {
            return None;
        }
        let begin = Instant::now();
        let Some(pending) = self.shared.wait_for_batch() else {
            self.finished = true;
            return None;
        };
        self.waited += begin.elapsed();
        let batch = self.account(pending);
        if batch.is_err() {
            self.finished = true;
            self.shared.stop();
        }
        Some(batch)
    }
}

impl Drop for Loader {
    fn drop(&mut self) {
        self.shared.stop();
        for worker in self.workers.drain(..) {
            // A thread that failed has reported it, and there is nobody left to tell.
            let _ = worker.join();
        }
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn stop(&self) {
        self.lock().stop = true;
        self.work.notify_all();
    }

    /// The batch of the next step, once it is complete; none when the plan is done.
    fn wait_for_batch(&self) -> Option<Pending> {
        let mut state = self.lock();
        if state.front >= self.plan.end_step {
            return None;
        }
        loop {
            if state.pending.front().is_some_and(|batch| batch.missing == 0) {
                state.front += 1;
                self.work.notify_all();
                return state.pending.pop_front();
            }
            state = self.ready.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// The life of a worker thread.
    fn work(&self) {
        while let Some(mut job) = self.take_job() {
            let mut bad = Vec::new();
            let prepared = catch_unwind(AssertUnwindSafe(|| self.prepare(&mut job, &mut bad)));
            let prepared = prepared.unwrap_or_else(|panic| {
                let image = self.source.name(job.visit.index);
                Err(LoaderError::Panicked { image, message: panic_message(panic.as_ref()) })
            });
            self.put(job, prepared, bad);
        }
    }

    /// The next image to prepare, once the queue has room; none when there will be no more.
    fn take_job(&self) -> Option<Job> {
        let mut state = self.lock();
        loop {
            match self.next(&mut state) {
                Next::Job(job) => return Some(job),
                Next::Nothing => return None,
                Next::QueueFull => state = self.work.wait(state).unwrap_or_else(PoisonError::into_inner),
            }
        }
    }

    /// What a worker does next.
    fn next(&self, state: &mut State) -> Next {
        if state.stop {
            return Next::Nothing;
        }
        let ahead = state.pending.len();
        if state.pending.back().is_none_or(|last| last.issued == self.plan.batch) {
            let step = state.front + ahead;
            if step >= self.plan.end_step {
                return Next::Nothing;
            }
            if ahead == self.queue {
                return Next::QueueFull;
            }
            self.begin(state, step);
        }
        let Some(last) = state.pending.back_mut() else { return Next::Nothing };
        let slot = last.issued;
        last.issued += 1;
        let pixels = mem::take(&mut last.slots[slot]);
        Next::Job(Job { step: last.batch.step, slot, visit: last.visits[slot], pixels })
    }

    /// Opens the batch of `step`, to be filled.
    fn begin(&self, state: &mut State, step: usize) {
        let Plan { batch, size: [height, width], .. } = self.plan;
        let visits = state.sampler.batch(step);
        // Memory is cleared by the worker that fills it, while it is in its cache.
        let mut memory = BytesMut::with_capacity(batch * height * width * 3);
        let mut slots: Vec<_> =
            (0..batch).rev().map(|slot| memory.split_off(slot * height * width * 3)).collect();
        slots.reverse();
        state.pending.push_back(Pending {
            batch: ImageBatch {
                pixels: Vec::new(),
                labels: vec![0; batch],
                indices: vec![0; batch],
                step,
                epoch: step / self.steps_per_epoch,
                position: step % self.steps_per_epoch,
            },
            slots,
            visits,
            issued: 0,
            missing: batch,
            bad: Vec::new(),
            failure: None,
        });
    }

    /// Loads and changes one image, or the one that replaces it; the index of the one that it is.
    fn prepare(&self, job: &mut Job, bad: &mut Vec<(usize, usize, FaceError)>) -> Result<usize, LoaderError> {
        let Plan { seed, size, .. } = self.plan;
        let Visit { index: wanted, number } = job.visit;
        let (picture, index) = match self.source.load(wanted, self.augmentation.source_size(size)) {
            Ok(picture) => (picture, wanted),
            Err(error) => {
                bad.push((job.slot, wanted, error.clone()));
                self.replace(job, bad).ok_or(LoaderError::NoReplacement(error))?
            }
        };
        let mut stream = Stream::new(seed, Purpose::Augmentation, number, wanted as u64);
        job.pixels.resize(size[0] * size[1] * 3, 0);
        self.augmentation.apply_to(&picture, size, &mut stream, &mut job.pixels);
        Ok(index)
    }

    /// A readable image instead of that of `job`, and its index.
    fn replace(&self, job: &Job, bad: &mut Vec<(usize, usize, FaceError)>) -> Option<(Picture, usize)> {
        let Visit { index: wanted, number } = job.visit;
        let by_label = self.by_label.get_or_init(|| {
            let mut by_label = vec![Vec::new(); self.source.identities().len()];
            (0..self.source.len()).for_each(|index| by_label[self.source.label(index)].push(index));
            by_label
        });
        let mut stream = Stream::new(self.plan.seed, Purpose::Replacement, number, wanted as u64);
        let mut siblings = by_label[self.source.label(wanted)].clone();
        siblings.retain(|&index| index != wanted);
        stream.shuffle(&mut siblings);
        let strangers = (0..MAX_STRANGERS).map(|_| stream.below(self.source.len()));
        siblings.into_iter().chain(strangers).find_map(|index| {
            match self.source.load(index, self.augmentation.source_size(self.plan.size)) {
                Ok(picture) => Some((picture, index)),
                Err(error) => {
                    bad.push((job.slot, index, error));
                    None
                }
            }
        })
    }

    /// Puts an image where it belongs.
    fn put(&self, job: Job, prepared: Result<usize, LoaderError>, bad: Vec<(usize, usize, FaceError)>) {
        let label = prepared.as_ref().map_or(0, |&index| self.source.label(index));
        let mut state = self.lock();
        // A batch is not delivered while one of its images is missing, so it is still there.
        let place = job.step - state.front;
        let pending = &mut state.pending[place];
        pending.slots[job.slot] = job.pixels;
        match prepared {
            Ok(index) => {
                pending.batch.indices[job.slot] = index;
                pending.batch.labels[job.slot] = label;
            }
            Err(error) => {
                if pending.failure.as_ref().is_none_or(|(slot, _)| job.slot < *slot) {
                    pending.failure = Some((job.slot, error));
                }
            }
        }
        pending.bad.extend(bad);
        pending.missing -= 1;
        if place == 0 && pending.missing == 0 {
            self.ready.notify_all();
        }
    }
}

/// The memory that `slots` are the pieces of, in their order; nothing is copied.
fn joined(slots: Vec<BytesMut>) -> Vec<u8> {
    let mut memory = BytesMut::new();
    slots.into_iter().for_each(|slot| memory.unsplit(slot));
    memory.into()
}

fn panic_message(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(|s| s.to_string());
    text.or_else(|| panic.downcast_ref::<String>().cloned()).unwrap_or_else(|| "no message".into())
}

#[cfg(test)]
mod tests {
    use std::{collections::BTreeSet, fs, io::Cursor};

    use super::*;
    use facegrad_faces::{FolderConfig, SourceConfig, StoredImage};
    use facegrad_pictures::plain;

    /// Three images of each identity, each of one colour that tells its index; those in `bad` cannot be read.
    struct Colours {
        identities: Vec<String>,
        bad: BTreeSet<usize>,
        panics_on: Option<usize>,
        delay: Duration,
    }

    fn colours(identities: usize, bad: &[usize]) -> Colours {
        Colours {
            identities: (0..identities).map(|i| format!("person {i}")).collect(),
            bad: bad.iter().copied().collect(),
            panics_on: None,
            delay: Duration::ZERO,
        }
    }

    impl FaceSource for Colours {
        fn len(&self) -> usize {
            self.identities.len() * 3
        }

        fn identities(&self) -> &[String] {
            &self.identities
        }

        fn label(&self, index: usize) -> usize {
            index / 3
        }

        fn name(&self, index: usize) -> String {
            format!("colour {index}")
        }

        fn key(&self, index: usize) -> String {
            self.name(index)
        }

        fn stored(&self, index: usize) -> Result<StoredImage, FaceError> {
            thread::sleep(self.delay);
            assert_ne!(Some(index), self.panics_on, "out of paint");
            if self.bad.contains(&index) {
                return Err(FaceError { name: self.name(index), reason: "it is blank".into() });
            }
            let value = |i: usize| (index * 5 + i % 7 * 3) as u8;
            Ok(StoredImage::Pixels(Picture::new(10, 10, (0..300).map(value).collect())))
        }

        fn fingerprint(&self) -> String {
            String::new()
        }
    }

    const PLAN: Plan = Plan { seed: 9, batch: 8, size: [6, 6], start_step: 0, end_step: 12 };

    fn augmentation() -> AugmentationConfig {
        AugmentationConfig { shift: 0.2, colour_jitter: 0.5, erasing: 0.5, ..Default::default() }
    }

    fn config(workers: usize) -> LoaderConfig {
        LoaderConfig { workers, queue: 3, max_bad_share: 0.1 }
    }

    fn start(source: Colours, plan: Plan, workers: usize) -> Loader {
        sampled(source, plan, &SamplerConfig::default(), workers)
    }

    fn sampled(source: Colours, plan: Plan, sampler: &SamplerConfig, workers: usize) -> Loader {
        Loader::start(Arc::new(source), plan, sampler, augmentation(), config(workers)).unwrap()
    }

    /// The images of the first five steps of [`PLAN`] over 42 images.
    fn first_epoch() -> Vec<usize> {
        let mut sampler = SamplerConfig::default().build(&colours(14, &[]), PLAN.seed, PLAN.batch).unwrap();
        (0..5).flat_map(|step| sampler.batch(step)).map(|visit| visit.index).collect()
    }

    fn batches(loader: &mut Loader) -> Vec<ImageBatch> {
        loader.map(Result::unwrap).collect()
    }

    #[test]
    fn batches_do_not_depend_on_the_number_of_workers() {
        let load = |workers| {
            let mut loader = start(colours(14, &[3, 20]), PLAN, workers);
            (batches(&mut loader), loader.skipped().to_vec())
        };
        let (one, skipped) = load(1);
        assert_eq!(one.len(), 12);
        assert_eq!(skipped.len(), 2);
        for workers in [0, 2, 8] {
            assert!(load(workers) == (one.clone(), skipped.clone()), "{workers} workers");
        }
    }

    #[test]
    fn an_epoch_visits_each_image_once_in_another_order() {
        // 42 images make 5 batches of 8; the 2 left over are dropped.
        let batches = batches(&mut start(colours(14, &[]), PLAN, 2));
        let places: Vec<_> = batches.iter().map(|b| (b.step, b.epoch, b.position)).collect();
        let expected: Vec<_> = (0..12).map(|s| (s, s / 5, s % 5)).collect();
        assert_eq!(places, expected);
        let epoch = |e: usize| -> Vec<usize> {
            batches.iter().filter(|b| b.epoch == e).flat_map(|b| b.indices.clone()).collect()
        };
        assert_ne!(epoch(0), epoch(1));
        for e in [0, 1] {
            assert_eq!(epoch(e).len(), 40);
            assert_eq!(epoch(e).into_iter().collect::<BTreeSet<_>>().len(), 40);
        }
        for batch in &batches {
            assert_eq!(batch.pixels.len(), 8 * 6 * 6 * 3);
            assert!(batch.indices.iter().zip(&batch.labels).all(|(index, label)| index / 3 == *label));
        }
    }

    #[test]
    fn a_batch_holds_its_images_in_their_order() {
        let off = AugmentationConfig { flip: 0.0, ..Default::default() };
        let source = Arc::new(colours(14, &[]));
        let batch = Loader::start(source.clone(), PLAN, &SamplerConfig::default(), off, config(4))
            .unwrap()
            .next()
            .unwrap()
            .unwrap();
        for (image, index) in batch.pixels.chunks(6 * 6 * 3).zip(batch.indices) {
            assert_eq!(image, plain(source.load(index, [6, 6]).unwrap(), [6, 6]).pixels());
        }
    }

    #[test]
    fn the_pieces_of_a_batch_are_joined_where_they_are() {
        let mut memory = BytesMut::with_capacity(12);
        let begin = memory.as_ptr();
        let mut slots: Vec<_> = (0..4).rev().map(|slot| memory.split_off(slot * 3)).collect();
        slots.reverse();
        drop(memory);
        for (value, slot) in (1..).zip(&mut slots) {
            slot.resize(3, 0);
            slot.fill(value);
        }
        let pixels = joined(slots);
        assert_eq!(pixels, [1, 1, 1, 2, 2, 2, 3, 3, 3, 4, 4, 4]);
        assert_eq!(pixels.as_ptr(), begin);
    }

    #[test]
    fn a_run_resumes_at_any_step() {
        let all = batches(&mut start(colours(14, &[7]), PLAN, 2));
        for start_step in [1, 4, 5, 7, 11, 12] {
            let rest = batches(&mut start(colours(14, &[7]), Plan { start_step, ..PLAN }, 2));
            assert!(rest == all[start_step..], "from step {start_step}");
        }
        let other = batches(&mut start(colours(14, &[7]), Plan { seed: 10, ..PLAN }, 2));
        assert_ne!(other[0].indices, all[0].indices);
    }

    #[test]
    fn batches_of_identities_resume_at_any_step_with_any_number_of_workers() {
        let pk = SamplerConfig::of_kind("pk").unwrap();
        let load = |start_step, workers| {
            let plan = Plan { start_step, end_step: 20, ..PLAN };
            batches(&mut sampled(colours(7, &[4]), plan, &pk, workers))
        };
        let all = load(0, 1);
        for batch in &all {
            // Two identities with three images each, of which one is there twice, changed in two ways.
            let [first, second] = [0, 4].map(|at| batch.labels[at]);
            assert_eq!(batch.labels, [[first; 4], [second; 4]].concat());
            assert_ne!(first, second);
            let pixels: BTreeSet<_> = batch.pixels.chunks(6 * 6 * 3).collect();
            assert_eq!(pixels.len(), 8);
            assert!(!batch.indices.contains(&4));
        }
        // An epoch is as long as ever: 21 images make 2 batches.
        assert_eq!(
            all.iter().map(|batch| batch.epoch).collect::<Vec<_>>(),
            (0..20).map(|s| s / 2).collect::<Vec<_>>()
        );
        for (start_step, workers) in [(0, 8), (1, 2), (7, 1), (10, 3), (19, 2)] {
            assert!(load(start_step, workers) == all[start_step..], "from {start_step}, {workers} workers");
        }
    }

    #[test]
    fn the_augmentation_differs_from_epoch_to_epoch() {
        let plan = Plan { batch: 3, end_step: 2, ..PLAN };
        let loaded = batches(&mut start(colours(1, &[]), plan, 1));
        let image = |batch: &ImageBatch, index: usize| {
            let slot = batch.indices.iter().position(|&i| i == index).unwrap();
            batch.pixels[slot * 108..][..108].to_vec()
        };
        assert!((0..3).all(|index| image(&loaded[0], index) != image(&loaded[1], index)));
    }

    #[test]
    fn an_unreadable_image_is_replaced_by_one_of_its_identity() {
        let mut loader = start(colours(14, &[4, 9]), PLAN, 2);
        let batches = batches(&mut loader);
        assert!(batches.iter().flat_map(|b| &b.indices).all(|i| ![4, 9].contains(i)));
        let order = first_epoch();
        for (place, wanted) in order.iter().enumerate().filter(|(_, i)| [4, 9].contains(*i)) {
            let batch = &batches[place / 8];
            assert_eq!(batch.labels[place % 8], wanted / 3);
            assert_eq!(batch.indices[place % 8] / 3, wanted / 3);
        }
        // Met in two or three epochs each, recorded once.
        let mut names: Vec<_> = loader.skipped().iter().map(|e| e.to_string()).collect();
        names.sort();
        assert_eq!(names, ["colour 4: it is blank", "colour 9: it is blank"]);
    }

    #[test]
    fn an_identity_without_readable_images_is_replaced_by_another() {
        let mut loader = start(colours(14, &[6, 7, 8]), PLAN, 2);
        assert!(batches(&mut loader).iter().all(|batch| !batch.labels.contains(&2)));
        assert_eq!(loader.skipped().len(), 3);
    }

    #[test]
    fn too_many_unreadable_images_are_an_error() {
        let fails = |bad: &[usize], max_bad_share: f64| {
            let config = LoaderConfig { max_bad_share, ..config(3) };
            let plan = Plan { end_step: 15, ..PLAN };
            let mut loader = Loader::start(
                Arc::new(colours(14, bad)),
                plan,
                &SamplerConfig::default(),
                augmentation(),
                config,
            )
            .unwrap();
            let error = loader.find_map(Result::err).map(|e| e.to_string());
            assert!(loader.next().is_none());
            error
        };
        // 10 % of 42 images is 4.2, and so 5; 1 % is one image.
        assert_eq!(fails(&[0, 5, 10, 15, 20], 0.1), None);
        assert_eq!(fails(&[0], 0.01), None);
        let error = fails(&[0, 5, 10, 15, 20, 25], 0.1).unwrap();
        assert!(
            error.starts_with("6 of 42 images (14.29 %) cannot be used, more than max_bad_share = 0.1 allows; the first is colour ")
                && error.ends_with(": it is blank"),
            "{error}"
        );
        assert_eq!(fails(&[0, 5, 10, 15, 20, 25], 0.1).unwrap(), error);
        assert!(fails(&[0], 0.0).unwrap().starts_with("1 of 42 images (2.38 %)"));
        let all: Vec<_> = (0..42).collect();
        assert!(fails(&all, 1.0).unwrap().starts_with("no image could be read in place of colour "));
    }

    #[test]
    fn a_panic_in_a_worker_is_an_error() {
        for workers in [1, 4] {
            let source = Colours { panics_on: Some(30), ..colours(14, &[]) };
            let mut loader = start(source, PLAN, workers);
            let step = first_epoch().iter().position(|&i| i == 30).unwrap() / 8;
            let before: Vec<_> = loader.by_ref().take(step).collect();
            assert!(before.iter().all(Result::is_ok));
            let error = loader.next().unwrap().unwrap_err().to_string();
            assert!(error.starts_with("a loader thread failed on colour 30: "), "{error}");
            assert!(error.contains("out of paint"), "{error}");
            assert!(loader.next().is_none());
        }
    }

    #[test]
    fn dropping_the_loader_stops_its_threads() {
        let source = Arc::new(Colours { delay: Duration::from_millis(5), ..colours(14, &[]) });
        let plan = Plan { end_step: 1_000_000, ..PLAN };
        let mut loader =
            Loader::start(source.clone(), plan, &SamplerConfig::default(), augmentation(), config(4))
                .unwrap();
        assert_eq!(loader.waited(), Duration::ZERO);
        let begin = Instant::now();
        loader.next().unwrap().unwrap();
        assert!(loader.waited() > Duration::ZERO && loader.waited() <= begin.elapsed());
        let begin = Instant::now();
        drop(loader);
        // The plan would take hours; a busy machine may take its time.
        assert!(begin.elapsed() < Duration::from_secs(5));
        // The threads are gone, and with them their hold on the source.
        assert_eq!(Arc::strong_count(&source), 1);
    }

    #[test]
    fn no_more_batches_than_the_queue_holds_are_decoded_ahead() {
        let loader = start(colours(14, &[]), Plan { end_step: 1000, ..PLAN }, 4);
        // The threads and this one take what there is to do until there is nothing.
        let shared = &loader.shared;
        while let Next::Job(mut job) = { shared.next(&mut shared.lock()) } {
            let prepared = shared.prepare(&mut job, &mut Vec::new());
            shared.put(job, prepared, Vec::new());
        }
        let mut state = shared.lock();
        assert_eq!(state.pending.iter().map(|batch| batch.issued).collect::<Vec<_>>(), [PLAN.batch; 3]);
        assert!(matches!(shared.next(&mut state), Next::QueueFull));
    }

    #[test]
    fn impossible_plans_are_one_sentence() {
        let first = |plan| {
            let (source, sampler) = (Arc::new(colours(14, &[])), SamplerConfig::default());
            Loader::start(source, plan, &sampler, augmentation(), config(1)).err().unwrap().to_string()
        };
        assert_eq!(
            first(Plan { batch: 43, ..PLAN }),
            "the data set has 42 images, too few for one batch of 43; choose a smaller batch size"
        );
        assert!(first(Plan { batch: 0, ..PLAN }).contains("at least 1"));
        assert!(first(Plan { size: [0, 6], ..PLAN }).contains("at least 1"));
        assert!(start(colours(14, &[]), Plan { end_step: 0, ..PLAN }, 1).next().is_none());
        assert_eq!(batches(&mut start(colours(14, &[]), Plan { batch: 42, ..PLAN }, 2)).len(), 12);
    }

    /// Photographs large enough to be decoded at a quarter of their size, and others as they are.
    #[test]
    fn photographs_of_all_sizes_come_in_the_same_order_with_any_number_of_workers() {
        let root = tempfile::TempDir::new().unwrap();
        for identity in 0..4u32 {
            let folder = root.path().join(format!("person {identity}"));
            fs::create_dir(&folder).unwrap();
            for image in 0..3u32 {
                let (width, height) = [(24, 24), (50, 61), (130, 97)][image as usize];
                let mut bytes = Cursor::new(Vec::new());
                image::RgbImage::from_fn(width, height, |x, y| {
                    image::Rgb([(x + identity * 60) as u8, (y * 2) as u8, ((x * y) % 200) as u8])
                })
                .write_to(&mut bytes, image::ImageFormat::Jpeg)
                .unwrap();
                fs::write(folder.join(format!("{image}.jpg")), bytes.into_inner()).unwrap();
            }
        }
        let load = |workers| {
            let folder = SourceConfig::from(FolderConfig { path: root.path().into() }).open().unwrap();
            let plan = Plan { batch: 5, size: [24, 24], end_step: 9, ..PLAN };
            let augmentation = AugmentationConfig { low_resolution: 0.5, blur: 0.5, ..augmentation() };
            let sampler = SamplerConfig::default();
            let loader = Loader::start(folder.source, plan, &sampler, augmentation, config(workers)).unwrap();
            loader.map(Result::unwrap).collect::<Vec<_>>()
        };
        let one = load(1);
        assert_eq!(one.len(), 9);
        assert!(one.iter().all(|batch| batch.pixels.len() == 5 * 24 * 24 * 3));
        for workers in [2, 3, 8] {
            assert!(load(workers) == one, "{workers} workers");
        }
    }

    /// The whole way, from files of which some are damaged in every manner.
    #[test]
    fn damaged_files_are_skipped_by_name() {
        let root = tempfile::TempDir::new().unwrap();
        for identity in 0..10 {
            let folder = root.path().join(format!("Zoë {identity}"));
            fs::create_dir(&folder).unwrap();
            for image in 0..4 {
                let colour = image::Rgb([identity * 20, image * 50, 128]);
                let mut bytes = Cursor::new(Vec::new());
                image::RgbImage::from_pixel(16, 16, colour)
                    .write_to(&mut bytes, image::ImageFormat::Jpeg)
                    .unwrap();
                fs::write(folder.join(format!("{image}.jpg")), bytes.into_inner()).unwrap();
            }
        }
        let path = |name: &str| root.path().join(name);
        let whole = fs::read(path("Zoë 1/0.jpg")).unwrap();
        fs::write(path("Zoë 1/0.jpg"), &whole[..whole.len() / 2]).unwrap();
        fs::write(path("Zoë 2/1.jpg"), b"not an image").unwrap();
        fs::write(path("Zoë 3/1.jpg"), b"P6 100000 100000 255\n").unwrap();
        fs::write(path("Zoë 4/1.jpg"), b"").unwrap();
        let folder = SourceConfig::from(FolderConfig { path: root.path().into() }).open().unwrap();
        assert_eq!(folder.summary.to_string(), "39 images of 10 identities; left out: 1 junk file");
        let plan = Plan { batch: 13, end_step: 6, ..PLAN };
        let mut loader =
            Loader::start(folder.source, plan, &SamplerConfig::default(), augmentation(), config(2)).unwrap();
        assert_eq!(batches(&mut loader).len(), 6);
        let mut skipped: Vec<_> = loader.skipped().iter().map(FaceError::to_string).collect();
        skipped.sort();
        let expected = [
            ("Zoë 1/0.jpg", "the JPEG data ends early"),
            ("Zoë 2/1.jpg", "its content is not a JPEG, PNG, WebP, BMP or PNM image"),
            ("Zoë 3/1.jpg", "its header claims 100000 x 100000 pixels; "),
        ];
        assert_eq!(skipped.len(), expected.len());
        for (found, (name, reason)) in skipped.iter().zip(expected) {
            assert!(found.contains(&format!("{name}: {reason}")), "{found}");
        }
    }
}
