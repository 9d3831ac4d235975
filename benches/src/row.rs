//! One row of the table: a name, a shape, a floor, and the product where there is one.
//!
//! Floor and product take turns (floor, product, floor, product …), so that a machine that slows down during a
//! row slows both.

use std::path::Path;

use anyhow::{Context, Result};
use serde::Serialize;

use crate::contender::{Contender, Running};
use crate::sample::Figures;
use crate::settings::{Section, Settings};
use crate::shape::Shape;

/// A row before it is run.
pub struct Row {
    /// Where the row belongs.
    pub section: Section,
    /// What the row is called in the table; name and shape together are unique.
    pub name: &'static str,
    /// What is asked of floor and product alike.
    pub shape: Shape,
    /// What `floor` is called in the table; `floor`, or what the product is compared with instead.
    pub against: &'static str,
    /// The barest thing that does the work.
    pub floor: Box<dyn Contender>,
    /// Fidelog doing the same.
    pub product: Option<Box<dyn Contender>>,
}

impl Row {
    /// A row that has only a floor.
    pub fn of_floor(
        section: Section,
        name: &'static str,
        shape: Shape,
        floor: impl Contender + 'static,
    ) -> Self {
        Self { section, name, shape, against: "floor", floor: Box::new(floor), product: None }
    }

    /// The same row with the product beside the floor.
    #[must_use]
    pub fn with_product(self, product: impl Contender + 'static) -> Self {
        Self { product: Some(Box::new(product)), ..self }
    }

    /// The same row compared with something that is no floor.
    #[must_use]
    pub fn against(self, against: &'static str) -> Self {
        Self { against, ..self }
    }

    /// Runs all repetitions with data below `dir`.
    ///
    /// # Errors
    /// The first error of a contender, with the row's name.
    pub fn run(&self, settings: &Settings, dir: &Path) -> Result<Outcome> {
        self.repeat(settings, dir).with_context(|| format!("row {:?} ({})", self.name, self.shape))
    }

    fn repeat(&self, settings: &Settings, dir: &Path) -> Result<Outcome> {
        let start = |contender: &dyn Contender, name: &str| -> Result<Box<dyn Running>> {
            let own = tempfile::Builder::new().prefix(name).tempdir_in(dir)?.keep();
            contender.start(&self.shape, &own)
        };
        let mut floor = start(self.floor.as_ref(), "floor-")?;
        let mut product = self.product.as_deref().map(|product| start(product, "product-")).transpose()?;
        let (mut of_floor, mut of_product) = (Vec::new(), Vec::new());
        for _ in 0..settings.repetitions {
            of_floor.push(floor.drive(settings.time).context("floor")?.figures());
            if let Some(product) = &mut product {
                of_product.push(product.drive(settings.time).context("product")?.figures());
            }
        }
        Ok(Outcome::new(self, of_floor, of_product))
    }
}

/// A row after it was run.
#[derive(Clone, Debug, Serialize)]
pub struct Outcome {
    /// See [`Row::section`].
    pub section: Section,
    /// See [`Row::name`].
    pub row: &'static str,
    /// See [`Row::shape`].
    pub shape: Shape,
    /// See [`Row::against`].
    pub against: &'static str,
    /// Medians of the floor.
    pub floor: Figures,
    /// Medians of the product.
    pub product: Option<Figures>,
    /// Product divided by floor.
    pub ratio: Option<Figures>,
    /// Every repetition of the floor, in the order it was run.
    pub floor_repetitions: Vec<Figures>,
    /// Every repetition of the product, in the order it was run.
    pub product_repetitions: Vec<Figures>,
}

impl Outcome {
    fn new(row: &Row, floor_repetitions: Vec<Figures>, product_repetitions: Vec<Figures>) -> Self {
        let floor = Figures::median(&floor_repetitions).unwrap_or_default();
        let product = Figures::median(&product_repetitions);
        Self {
            section: row.section,
            row: row.name,
            shape: row.shape,
            against: row.against,
            floor,
            product,
            ratio: product.map(|figures| figures.ratio_to(&floor)),
            floor_repetitions,
            product_repetitions,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};
    use std::time::Duration;

    use super::*;
    use crate::sample::Sample;

    /// Answers `records` a second and writes its name into a shared list each time it is driven.
    #[derive(Clone)]
    struct Scripted {
        name: &'static str,
        records: usize,
        turns: Arc<Mutex<Vec<&'static str>>>,
    }

    impl Contender for Scripted {
        fn start(&self, _shape: &Shape, dir: &Path) -> Result<Box<dyn Running>> {
            assert!(dir.is_dir());
            Ok(Box::new(self.clone()))
        }
    }

    impl Running for Scripted {
        fn drive(&mut self, _time: Duration) -> Result<Sample> {
            self.turns.lock().unwrap().push(self.name);
            let mut sample = Sample::default();
            sample.record(Duration::from_micros(1), self.records, self.records);
            Ok(sample.over(Duration::from_secs(1)))
        }
    }

    #[test]
    fn floor_and_product_take_turns_and_the_ratio_is_product_to_floor() {
        let turns = Arc::new(Mutex::new(Vec::new()));
        let of = |name, records| Scripted { name, records, turns: turns.clone() };
        let row = Row::of_floor(Section::Disk, "scripted", Shape::single(1), of("floor", 200))
            .with_product(of("product", 50));
        let dir = tempfile::tempdir().unwrap();
        let settings = Settings { repetitions: 2, ..Settings::default() };

        let outcome = row.run(&settings, dir.path()).unwrap();

        assert_eq!(*turns.lock().unwrap(), ["floor", "product", "floor", "product"]);
        let ratio = outcome.ratio.unwrap();
        assert!((ratio.records_per_s - 0.25).abs() < 1e-9, "{ratio:?}");
        assert_eq!(outcome.floor_repetitions.len(), 2);
    }
}
