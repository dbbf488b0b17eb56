//! Windows that slide over framed images.

use std::{cell::RefCell, iter, mem::MaybeUninit, ops::Range};

use rayon::prelude::*;

use super::Images;
use crate::{
    Activation, Order, Precision,
    flex::{
        activation::apply,
        bf16::{self, OuterScratch, PairPanels},
        direct::{self, Panels, Windows},
        fill, room,
        transpose::transpose,
    },
};

/// Buffers of a thread, kept from call to call.
#[derive(Debug, Default)]
pub(super) struct Scratch {
    pub(super) last: Vec<f32>,
    pub(super) framed: Vec<f32>,
    pub(super) pixels: Vec<f32>,
    cells: Vec<f32>,
    narrow: Vec<u16>,
    pub(super) outer: OuterScratch,
}

thread_local! {
    pub(super) static SCRATCH: RefCell<Scratch> = RefCell::default();
}

/// The first values of a buffer, whatever they are.
pub(super) fn take(buffer: &mut Vec<f32>, count: usize) -> &mut [f32] {
    if buffer.len() < count {
        buffer.resize(count, 0.0);
    }
    &mut buffer[..count]
}

/// Images with their channels last, in a border of zeros.
#[derive(Clone, Copy, Debug)]
pub(super) struct Frame {
    pub(super) channels: usize,
    pub(super) size: [usize; 2],
    pub(super) before: [usize; 2],
    pub(super) after: [usize; 2],
}

impl Frame {
    /// Values of an image.
    fn image(&self) -> usize {
        self.channels * self.size[0] * self.size[1]
    }

    /// Values of a row with its border.
    pub(super) fn line(&self) -> usize {
        (self.before[1] + self.size[1] + self.after[1]) * self.channels
    }

    /// Values of an image with its border.
    pub(super) fn framed(&self) -> usize {
        (self.before[0] + self.size[0] + self.after[0]) * self.line()
    }

    /// Some images in their frames.
    pub(super) fn fill<'a>(
        &self,
        x: Images<'a>,
        images: Range<usize>,
        last: &mut Vec<f32>,
        buffer: &'a mut Vec<f32>,
    ) -> &'a [f32] {
        let Self { channels, size: [height, width], .. } = *self;
        let values = &x.values[images.start * self.image()..images.end * self.image()];
        let bare = self.framed() == self.image();
        if bare && x.order == Order::Pixels {
            return values;
        }
        let framed = take(buffer, images.len() * self.framed());
        for (image, framed) in
            iter::zip(values.chunks_exact(self.image()), framed.chunks_exact_mut(self.framed()))
        {
            let pixels = height * width;
            match x.order {
                Order::Planes if bare => {
                    transpose(image, [channels, pixels], pixels, room(framed), channels);
                }
                Order::Planes => {
                    let last = take(last, self.image());
                    transpose(image, [channels, pixels], pixels, room(last), channels);
                    self.frame(last, framed);
                }
                Order::Pixels => self.frame(image, framed),
            }
        }
        framed
    }

    /// Writes an image whose channels lie last, and zeros around it.
    fn frame(&self, image: &[f32], framed: &mut [f32]) {
        let left = self.before[1] * self.channels;
        let row = self.size[1] * self.channels;
        let (above, below) = framed.split_at_mut(self.before[0] * self.line());
        let (inside, below) = below.split_at_mut(self.size[0] * self.line());
        above.fill(0.0);
        below.fill(0.0);
        for (row, line) in iter::zip(image.chunks_exact(row), inside.chunks_exact_mut(self.line()))
        {
            let (before, line) = line.split_at_mut(left);
            let (inside, after) = line.split_at_mut(row.len());
            before.fill(0.0);
            inside.copy_from_slice(row);
            after.fill(0.0);
        }
    }
}

/// Pixels of an image that one window writes: a column for each value of a few pixels, where there
/// are too few channels to fill vectors.
#[derive(Clone, Copy, Debug)]
pub(super) struct Cells {
    pub(super) channels: usize,
    /// Height and width of the image.
    pub(super) image: [usize; 2],
    /// Height and width of a cell.
    pub(super) size: [usize; 2],
    /// Rows and columns of cells.
    pub(super) count: [usize; 2],
    /// Pixels of the first cell that lie before the image.
    pub(super) before: [usize; 2],
}

impl Cells {
    /// Values of all cells.
    fn len(&self) -> usize {
        self.channels * (0..2).map(|axis| self.size[axis] * self.count[axis]).product::<usize>()
    }

    /// Writes the pixels of an image, channels last.
    fn write(&self, cells: &[f32], image: &mut [MaybeUninit<f32>]) {
        let Self { channels, image: [_, width], size: [high, wide], before, .. } = *self;
        let run = wide * channels;
        let rows = image.chunks_exact_mut(width * channels);
        for (row, line) in rows.enumerate().map(|(y, line)| (y + before[0], line)) {
            let cells = cells.chunks_exact(high * run).skip(row / high * self.count[1]);
            let mut to = 0;
            for (number, cell) in cells.take(self.count[1]).enumerate() {
                let skip = if number == 0 { before[1] * channels } else { 0 };
                let from = &cell[row % high * run + skip..(row % high + 1) * run];
                let count = from.len().min(line.len() - to);
                line[to..to + count].write_copy_of_slice(&from[..count]);
                to += count;
            }
        }
    }
}

/// Windows over framed images, with the matrix that what they see is multiplied by. Together they
/// write the pixels of an image.
pub(super) struct Slide {
    pub(super) frame: Frame,
    pub(super) windows: Vec<(Windows, Panels)>,
    /// Where windows write cells.
    pub(super) cells: Option<Cells>,
    /// Channels and pixels of what is written.
    pub(super) output: [usize; 2],
    /// Images at a time, for which there are windows.
    pub(super) part: usize,
}

impl Slide {
    /// The images of a batch, `[batch, channels, height, width]` in an order; the bias is that of the
    /// windows' columns.
    #[allow(unsafe_code)]
    pub(super) fn run(
        &self,
        batch: usize,
        x: Images<'_>,
        bias: Option<&[f32]>,
        activation: Activation,
        order: Order,
        precision: Precision,
    ) -> Vec<f32> {
        let [channels, pixels] = self.output;
        let image = channels * pixels;
        let pairs: Option<Vec<_>> =
            (precision == Precision::Bf16 && bf16::available()).then(|| {
                let windows = self.windows.iter();
                windows.map(|(windows, weights)| PairPanels::of_windows(windows, weights)).collect()
            });
        let pairs = pairs.as_deref();
        let write = |y: &mut [MaybeUninit<f32>]| {
            y.par_chunks_mut(self.part * image).enumerate().for_each(|(number, y)| {
                let images = y.len() / image;
                let range = number * self.part..number * self.part + images;
                SCRATCH.with_borrow_mut(|scratch| {
                    self.write(x, range, pairs, bias, order, y, scratch);
                });
                // SAFETY: all pixels of these images are written.
                apply(unsafe { y.assume_init_mut() }, activation);
            });
        };
        // SAFETY: the chunks are all images, and each window writes its own pixels of them.
        unsafe { fill(batch * image, write) }
    }

    /// Writes all pixels of some images; `pairs` are the matrices for products in `bf16`.
    #[allow(clippy::too_many_arguments)]
    fn write(
        &self,
        x: Images<'_>,
        images: Range<usize>,
        pairs: Option<&[PairPanels]>,
        bias: Option<&[f32]>,
        order: Order,
        y: &mut [MaybeUninit<f32>],
        Scratch { last, framed, pixels: buffer, cells, narrow, .. }: &mut Scratch,
    ) {
        let [channels, pixels] = self.output;
        let image = channels * pixels;
        let source = self.frame.fill(x, images.clone(), last, framed);
        let narrow = pairs.map(|pairs| (pairs, bf16::narrowed(source, narrow)));
        let multiply = |out: &mut [MaybeUninit<f32>]| {
            for (number, (windows, weights)) in self.windows.iter().enumerate() {
                let places = windows.places.len() / self.part * images.len();
                let places = &windows.places[..places];
                match narrow {
                    Some((pairs, source)) => {
                        bf16::multiply(windows, places, source, &pairs[number], bias, out);
                    }
                    None => direct::multiply(windows, places, source, weights, bias, out),
                }
            }
        };
        let mut write = |out: &mut [MaybeUninit<f32>]| match &self.cells {
            None => multiply(out),
            Some(layout) => {
                let cells = take(cells, images.len() * layout.len());
                multiply(room(cells));
                let cells = cells.chunks_exact(layout.len());
                out.chunks_exact_mut(image).zip(cells).for_each(|(out, cells)| {
                    layout.write(cells, out);
                });
            }
        };
        match order {
            Order::Pixels => write(y),
            Order::Planes => {
                let last = take(buffer, y.len());
                write(room(last));
                let images = y.chunks_exact_mut(image).zip(last.chunks_exact(image));
                images.for_each(|(y, last)| {
                    transpose(last, [pixels, channels], channels, y, pixels);
                });
            }
        }
    }
}
