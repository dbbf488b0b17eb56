//! What is said of sections and measures: the only place that knows their names. What is not
//! listed is shown under its own name.

use multivae_metrics::Entry;

/// Which values are wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Better {
    Higher,
    Lower,
    Neither,
}

impl Better {
    /// As a sentence.
    pub(crate) fn text(self) -> &'static str {
        match self {
            Self::Higher => "Higher is better.",
            Self::Lower => "Lower is better.",
            Self::Neither => "",
        }
    }
}

/// Where a measure is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Visibility {
    /// In tables, and at the top of the page the first number that nothing was given for.
    Top,
    /// In tables, and at the top of the page the number from most given modalities.
    TopFromAll,
    /// In tables.
    Table,
    /// In `metrics.json` and `metrics.csv` only: there are many such numbers, and a figure or a
    /// mean says what there is to see.
    Files,
}

/// How a measure from given modalities is drawn, subset by target.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Map {
    /// Not at all.
    None,
    /// With colours from its lowest to its highest value in a column.
    Own,
    /// With colours for a range.
    Range(f64, f64),
}

/// What a measure is.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Measure {
    pub(crate) report: &'static str,
    pub(crate) name: &'static str,
    pub(crate) title: &'static str,
    pub(crate) unit: &'static str,
    pub(crate) better: Better,
    pub(crate) visibility: Visibility,
    pub(crate) map: Map,
    pub(crate) meaning: &'static str,
}

/// What a section of the page is about.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Section {
    pub(crate) name: &'static str,
    pub(crate) title: &'static str,
    /// The reports whose numbers it shows.
    pub(crate) reports: &'static [&'static str],
    pub(crate) lead: &'static str,
}

/// The sections in the order of the page.
pub(crate) const SECTIONS: &[Section] = &[
    Section {
        name: "generation",
        title: "What the model generates",
        reports: &[],
        lead: "Each column is one row of the data, or one sample. The original stands on top, \
               below it what the model makes of it from less and less.",
    },
    Section {
        name: "training",
        title: "Training",
        reports: &[],
        lead: "How the loss fell, epoch by epoch.",
    },
    Section {
        name: "coherence",
        title: "Coherence",
        reports: &["coherence", "joint_coherence", "classifier"],
        lead: "Does what is generated show the same thing as what was given? A classifier of each \
               modality, trained on real data, reads the class of what the model generates; \
               coherence is the share of rows where it is the right one. More than the \
               accuracy of the classifiers on real data is not to be expected.",
    },
    Section {
        name: "evaluation",
        title: "Bound and cross generation",
        reports: &["evaluation"],
        lead: "How likely the model finds the data, and how well it tells each modality from \
               every set of others.",
    },
    Section {
        name: "likelihood",
        title: "Likelihood",
        reports: &["likelihood"],
        lead: "Log-likelihoods by importance sampling: tighter than the bound, the more samples \
               are drawn.",
    },
    Section {
        name: "reconstruction",
        title: "Reconstruction",
        reports: &["reconstruction", "skill"],
        lead: "How close decoded modalities come to the originals, by the measures that are usual \
               for images, numbers and categories.",
    },
    Section {
        name: "fid",
        title: "Fidelity and diversity",
        reports: &["fid"],
        lead: "Whether generated values are distributed as the real ones, compared by their \
               features in a network that was trained to see.",
    },
    Section {
        name: "representation",
        title: "Representation",
        reports: &["representation"],
        lead: "What the latent space holds: whether classes can be read from it, which of its \
               dimensions are used, what each modality contributes, and what is left when \
               modalities are missing.",
    },
    Section {
        name: "clustering",
        title: "Clusters",
        reports: &["clustering"],
        lead: "Whether the latent space falls into groups that are the classes of the data, which \
               the model was never told.",
    },
    Section {
        name: "latent",
        title: "The latent space",
        reports: &[],
        lead: "Posterior means in two dimensions, coloured by class. Classes that stand apart can \
               be told apart by a simple rule.",
    },
    Section {
        name: "data",
        title: "The data",
        reports: &[],
        lead: "What was read: how rows of files were matched, what each modality holds, what is \
               missing, and what looks wrong with what can be done about it.",
    },
    Section {
        name: "cost",
        title: "Cost",
        reports: &["cost"],
        lead: "What training took, start of the program and reading of the data included.",
    },
];

/// What is known of measures.
pub(crate) const MEASURES: &[Measure] = &[
    Measure {
        report: "evaluation",
        name: "elbo",
        title: "Evidence lower bound",
        unit: "nats",
        better: Better::Higher,
        visibility: Visibility::Top,
        map: Map::None,
        meaning: "What training maximises: the log-likelihood of what a row observes less the \
                  divergence of the posterior from the prior. Summed over features.",
    },
    Measure {
        report: "evaluation",
        name: "log_likelihood",
        title: "Log-likelihood given all",
        unit: "nats",
        better: Better::Higher,
        visibility: Visibility::Table,
        map: Map::None,
        meaning: "How likely the decoder finds the original, from one sample of the posterior of \
                  all that is observed; summed over features.",
    },
    Measure {
        report: "evaluation",
        name: "kl",
        title: "Divergence from the prior",
        unit: "nats",
        better: Better::Neither,
        visibility: Visibility::Table,
        map: Map::None,
        meaning: "How much the posterior says that the prior does not. Close to zero, the latent \
                  space is not used.",
    },
    Measure {
        report: "evaluation",
        name: "cross_log_likelihood",
        title: "Log-likelihood from given modalities",
        unit: "nats",
        better: Better::Higher,
        visibility: Visibility::Table,
        map: Map::None,
        meaning: "How likely the decoder finds the original of a modality, from one sample of the \
                  posterior of those that are given.",
    },
    Measure {
        report: "evaluation",
        name: "mean_squared_error",
        title: "Squared error from given modalities",
        unit: "per feature, standardised",
        better: Better::Lower,
        visibility: Visibility::Table,
        map: Map::Own,
        meaning: "Squared difference between the original and the mean of what is generated, \
                  averaged over features.",
    },
    Measure {
        report: "coherence",
        name: "accuracy",
        title: "Coherence",
        unit: "share of rows",
        better: Better::Higher,
        visibility: Visibility::Table,
        map: Map::Range(0.0, 1.0),
        meaning: "Share of rows whose class is kept in what is generated.",
    },
    Measure {
        report: "coherence",
        name: "mean_accuracy",
        title: "Coherence, mean over targets",
        unit: "share of rows",
        better: Better::Higher,
        visibility: Visibility::Top,
        map: Map::None,
        meaning: "The same, averaged over all targets that were not given, and over all sets of \
                  so many given modalities: the numbers that papers print.",
    },
    Measure {
        report: "coherence",
        name: "deviation_accuracy",
        title: "Coherence, deviation over sets",
        unit: "",
        better: Better::Neither,
        visibility: Visibility::Files,
        map: Map::None,
        meaning: "How much sets of the same size differ.",
    },
    Measure {
        report: "coherence",
        name: "macro_recall",
        title: "Coherence, mean over classes",
        unit: "share of rows",
        better: Better::Higher,
        visibility: Visibility::Files,
        map: Map::None,
        meaning: "Coherence where every class counts the same, however many rows it has.",
    },
    Measure {
        report: "coherence",
        name: "mean_macro_recall",
        title: "Coherence, mean over classes and targets",
        unit: "share of rows",
        better: Better::Higher,
        visibility: Visibility::Files,
        map: Map::None,
        meaning: "Coherence where every class counts the same, averaged over targets.",
    },
    Measure {
        report: "coherence",
        name: "deviation_macro_recall",
        title: "Coherence over classes, deviation over sets",
        unit: "",
        better: Better::Neither,
        visibility: Visibility::Files,
        map: Map::None,
        meaning: "How much sets of the same size differ.",
    },
    Measure {
        report: "coherence",
        name: "recall",
        title: "Coherence of a class",
        unit: "share of rows",
        better: Better::Higher,
        visibility: Visibility::Files,
        map: Map::None,
        meaning: "Coherence among the rows of one class.",
    },
    Measure {
        report: "joint_coherence",
        name: "coherence",
        title: "Joint coherence",
        unit: "share of samples",
        better: Better::Higher,
        visibility: Visibility::Top,
        map: Map::None,
        meaning: "Share of samples from which all modalities are generated with the same class.",
    },
    Measure {
        report: "joint_coherence",
        name: "agreement",
        title: "Agreement of pairs",
        unit: "share of pairs",
        better: Better::Higher,
        visibility: Visibility::Table,
        map: Map::None,
        meaning: "Share of pairs of modalities that are generated with the same class.",
    },
    Measure {
        report: "joint_coherence",
        name: "class_share",
        title: "Share of a class",
        unit: "share of samples",
        better: Better::Neither,
        visibility: Visibility::Files,
        map: Map::None,
        meaning: "How often each class is generated. Where the data has as many rows of each, so \
                  should the samples.",
    },
    Measure {
        report: "classifier",
        name: "accuracy",
        title: "Classifier on real data",
        unit: "share of rows",
        better: Better::Higher,
        visibility: Visibility::Table,
        map: Map::None,
        meaning: "How often the classifier of a modality tells the class of real data that it has \
                  not seen: about what coherence can reach.",
    },
    Measure {
        report: "likelihood",
        name: "joint_log_likelihood",
        title: "Joint log-likelihood",
        unit: "nats",
        better: Better::Higher,
        visibility: Visibility::Top,
        map: Map::None,
        meaning: "log p(x) of all that a row observes, estimated by importance sampling; summed \
                  over features.",
    },
    Measure {
        report: "likelihood",
        name: "joint_log_likelihood_sampling_error",
        title: "Sampling error of the joint log-likelihood",
        unit: "nats",
        better: Better::Lower,
        visibility: Visibility::Table,
        map: Map::None,
        meaning: "How uncertain the estimate of one row is. Above about one nat the estimate is \
                  too low: draw more samples.",
    },
    Measure {
        report: "likelihood",
        name: "marginal_log_likelihood",
        title: "Log-likelihood of single modalities",
        unit: "nats",
        better: Better::Higher,
        visibility: Visibility::Table,
        map: Map::None,
        meaning: "log p(x_m) of a modality, whatever else a row observes, estimated by importance \
                  sampling; summed over features.",
    },
    Measure {
        report: "likelihood",
        name: "marginal_log_likelihood_sampling_error",
        title: "Sampling error, single modalities",
        unit: "nats",
        better: Better::Lower,
        visibility: Visibility::Files,
        map: Map::None,
        meaning: "How uncertain the estimate of one row is.",
    },
    Measure {
        report: "likelihood",
        name: "conditional_log_likelihood",
        title: "Conditional log-likelihood",
        unit: "nats",
        better: Better::Higher,
        visibility: Visibility::Table,
        map: Map::Own,
        meaning: "log p(x_T | x_S) of a modality from those given, by the model's own density.",
    },
    Measure {
        report: "likelihood",
        name: "generated_log_likelihood",
        title: "Log-likelihood of what is generated",
        unit: "nats",
        better: Better::Higher,
        visibility: Visibility::Table,
        map: Map::Own,
        meaning: "log E p(x_T | z) with z from the posterior of those given: how well the model \
                  generates.",
    },
    Measure {
        report: "likelihood",
        name: "conditional_log_likelihood_sampling_error",
        title: "Sampling error, conditional",
        unit: "nats",
        better: Better::Lower,
        visibility: Visibility::Files,
        map: Map::None,
        meaning: "How uncertain the estimate of one row is.",
    },
    Measure {
        report: "likelihood",
        name: "generated_log_likelihood_sampling_error",
        title: "Sampling error, generated",
        unit: "nats",
        better: Better::Lower,
        visibility: Visibility::Files,
        map: Map::None,
        meaning: "How uncertain the estimate of one row is.",
    },
    Measure {
        report: "reconstruction",
        name: "mean_squared_error",
        title: "Squared error",
        unit: "per feature, in units of the data",
        better: Better::Lower,
        visibility: Visibility::Table,
        map: Map::None,
        meaning: "Squared difference, averaged over features.",
    },
    Measure {
        report: "skill",
        name: "explained",
        title: "Better than the mean by",
        unit: "at most 1",
        better: Better::Higher,
        visibility: Visibility::Table,
        map: Map::None,
        meaning: "The share of the squared error of the training rows' mean that the model does away \
                  with: 1 for perfect values, 0 for values no better than the mean, less for worse.",
    },
    Measure {
        report: "skill",
        name: "error",
        title: "Squared error",
        unit: "per observed feature, in units of the data",
        better: Better::Lower,
        visibility: Visibility::Files,
        map: Map::None,
        meaning: "Squared error of a modality from itself or from all others that a row observes.",
    },
    Measure {
        report: "skill",
        name: "baseline_error",
        title: "Squared error of the mean",
        unit: "per observed feature, in units of the data",
        better: Better::Neither,
        visibility: Visibility::Files,
        map: Map::None,
        meaning: "Squared error of the mean of the training rows, which takes no model.",
    },
    Measure {
        report: "reconstruction",
        name: "psnr",
        title: "Peak signal to noise (PSNR)",
        unit: "dB",
        better: Better::Higher,
        visibility: Visibility::Table,
        map: Map::None,
        meaning: "Squared error on a logarithmic scale: 20 dB is an error of a tenth of the range \
                  of values.",
    },
    Measure {
        report: "reconstruction",
        name: "ssim",
        title: "Structural similarity (SSIM)",
        unit: "at most 1",
        better: Better::Higher,
        visibility: Visibility::Table,
        map: Map::Own,
        meaning: "Likeness of light, contrast and structure in small windows; 1 for equal images.",
    },
    Measure {
        report: "reconstruction",
        name: "ms_ssim",
        title: "Structural similarity at several scales (MS-SSIM)",
        unit: "at most 1",
        better: Better::Higher,
        visibility: Visibility::Table,
        map: Map::None,
        meaning: "The same, seen from several distances.",
    },
    Measure {
        report: "reconstruction",
        name: "cross_entropy",
        title: "Cross-entropy",
        unit: "nats",
        better: Better::Lower,
        visibility: Visibility::Table,
        map: Map::None,
        meaning: "What the decoder needs to tell the original, by its own likelihood; summed over \
                  features.",
    },
    Measure {
        report: "fid",
        name: "fid_inception",
        title: "Fréchet distance (FID)",
        unit: "",
        better: Better::Lower,
        visibility: Visibility::Top,
        map: Map::Own,
        meaning: "Distance of the distributions of generated and real values, as if their \
                  features in Inception-v3 were normal. It depends on how many rows there are, \
                  and only values by the same features can be compared.",
    },
    Measure {
        report: "fid",
        name: "kid_inception",
        title: "Kernel distance (KID)",
        unit: "",
        better: Better::Lower,
        visibility: Visibility::Table,
        map: Map::None,
        meaning: "The same without the assumption of normal features, and for any number of \
                  rows; 0 for equal distributions.",
    },
    Measure {
        report: "fid",
        name: "precision_inception",
        title: "Precision",
        unit: "share of rows",
        better: Better::Higher,
        visibility: Visibility::Table,
        map: Map::None,
        meaning: "Share of what is generated that lies where real values are: low, where it \
                  looks wrong.",
    },
    Measure {
        report: "fid",
        name: "recall_inception",
        title: "Recall",
        unit: "share of rows",
        better: Better::Higher,
        visibility: Visibility::Table,
        map: Map::None,
        meaning: "Share of the real values that lie where generated ones are: low, where the \
                  model leaves some out.",
    },
    Measure {
        report: "fid",
        name: "fid_classifier",
        title: "Fréchet distance by classifiers",
        unit: "",
        better: Better::Lower,
        visibility: Visibility::Top,
        map: Map::Own,
        meaning: "Distance of the distributions of generated and real values, as if their \
                  features in the last hidden layer of the classifier were normal. It depends on \
                  how many rows there are, and only values by the same features can be compared.",
    },
    Measure {
        report: "fid",
        name: "kid_classifier",
        title: "Kernel distance by classifiers",
        unit: "",
        better: Better::Lower,
        visibility: Visibility::Table,
        map: Map::None,
        meaning: "The same without the assumption of normal features, and for any number of \
                  rows; 0 for equal distributions.",
    },
    Measure {
        report: "fid",
        name: "precision_classifier",
        title: "Precision by classifiers",
        unit: "share of rows",
        better: Better::Higher,
        visibility: Visibility::Table,
        map: Map::None,
        meaning: "Share of what is generated that lies where real values are: low, where it \
                  looks wrong.",
    },
    Measure {
        report: "fid",
        name: "recall_classifier",
        title: "Recall by classifiers",
        unit: "share of rows",
        better: Better::Higher,
        visibility: Visibility::Table,
        map: Map::None,
        meaning: "Share of the real values that lie where generated ones are: low, where the \
                  model leaves some out.",
    },
    Measure {
        report: "representation",
        name: "probe_accuracy",
        title: "Linear probe",
        unit: "share of rows",
        better: Better::Higher,
        visibility: Visibility::TopFromAll,
        map: Map::Range(0.0, 1.0),
        meaning: "How often a linear classifier tells the class of test rows from posterior \
                  means, having learned from those of training rows.",
    },
    Measure {
        report: "representation",
        name: "space_probe_accuracy",
        title: "Linear probe of one space",
        unit: "share of rows",
        better: Better::Higher,
        visibility: Visibility::Table,
        map: Map::None,
        meaning: "The same from the values of one latent space alone, given all modalities.",
    },
    Measure {
        report: "representation",
        name: "active_units",
        title: "Active dimensions",
        unit: "dimensions",
        better: Better::Neither,
        visibility: Visibility::Table,
        map: Map::None,
        meaning: "Dimensions whose posterior mean changes from row to row (Burda et al. 2016). \
                  The others hold nothing.",
    },
    Measure {
        report: "representation",
        name: "dimension_kl",
        title: "Divergence of each dimension",
        unit: "nats",
        better: Better::Neither,
        visibility: Visibility::Files,
        map: Map::None,
        meaning: "How much each dimension says that the prior does not. Dimensions at zero are \
                  not used.",
    },
    Measure {
        report: "representation",
        name: "dimension_variance",
        title: "Variance of each dimension",
        unit: "",
        better: Better::Neither,
        visibility: Visibility::Files,
        map: Map::None,
        meaning: "Variance over rows of the posterior's mean.",
    },
    Measure {
        report: "representation",
        name: "contribution_shift",
        title: "What a modality moves",
        unit: "shares of the latent variance",
        better: Better::Neither,
        visibility: Visibility::Table,
        map: Map::None,
        meaning: "How far the posterior moves when a modality is left out. At zero the encoder \
                  ignores it.",
    },
    Measure {
        report: "representation",
        name: "contribution_bound",
        title: "What a modality is worth",
        unit: "nats of the bound",
        better: Better::Higher,
        visibility: Visibility::Table,
        map: Map::None,
        meaning: "By how much the bound falls when a modality is left out of what is encoded.",
    },
    Measure {
        report: "representation",
        name: "contribution_decoding",
        title: "What the latent space tells of a modality",
        unit: "nats",
        better: Better::Higher,
        visibility: Visibility::Table,
        map: Map::None,
        meaning: "By how much the likelihood of a modality is higher with the latent values of \
                  its row than with those of the prior. At zero the decoder ignores them.",
    },
    Measure {
        report: "representation",
        name: "robustness_accuracy",
        title: "Linear probe with modalities missing",
        unit: "share of rows",
        better: Better::Higher,
        visibility: Visibility::Table,
        map: Map::None,
        meaning: "How often the class is told, as modalities are taken from the test rows at \
                  random.",
    },
    Measure {
        report: "representation",
        name: "robustness_bound",
        title: "Bound with modalities missing",
        unit: "nats",
        better: Better::Higher,
        visibility: Visibility::Table,
        map: Map::None,
        meaning: "The evidence lower bound of all modalities, encoded from those that are left.",
    },
    Measure {
        report: "representation",
        name: "robustness_hidden",
        title: "Log-likelihood of what is missing",
        unit: "nats",
        better: Better::Higher,
        visibility: Visibility::Table,
        map: Map::None,
        meaning: "How likely the decoder finds the modalities that were taken, from those that \
                  are left.",
    },
    Measure {
        report: "clustering",
        name: "accuracy",
        title: "Clusters: accuracy",
        unit: "share of rows",
        better: Better::Higher,
        visibility: Visibility::Top,
        map: Map::None,
        meaning: "Share of rows in the right cluster, each cluster standing for one class in the \
                  best way.",
    },
    Measure {
        report: "clustering",
        name: "majority_accuracy",
        title: "Clusters: accuracy by majority",
        unit: "share of rows",
        better: Better::Higher,
        visibility: Visibility::Table,
        map: Map::None,
        meaning: "Share of rows whose class is the most frequent one in their cluster.",
    },
    Measure {
        report: "clustering",
        name: "normalized_mutual_information",
        title: "Normalised mutual information (NMI)",
        unit: "at most 1",
        better: Better::Higher,
        visibility: Visibility::Table,
        map: Map::None,
        meaning: "How much clusters tell about classes: 0 nothing, 1 all.",
    },
    Measure {
        report: "clustering",
        name: "adjusted_rand_index",
        title: "Adjusted Rand index (ARI)",
        unit: "at most 1",
        better: Better::Higher,
        visibility: Visibility::Table,
        map: Map::None,
        meaning: "Agreement on which pairs of rows belong together: 0 by chance, 1 for all.",
    },
    Measure {
        report: "cost",
        name: "seconds",
        title: "Time of training",
        unit: "seconds",
        better: Better::Lower,
        visibility: Visibility::Top,
        map: Map::None,
        meaning: "From the start of the program to its end; of a run that was stopped and resumed, \
                  the sum.",
    },
    Measure {
        report: "cost",
        name: "processor_seconds",
        title: "Work of all threads",
        unit: "seconds",
        better: Better::Lower,
        visibility: Visibility::Table,
        map: Map::None,
        meaning: "How long the threads of the training have worked, in sum: what else the machine \
                  did at the time hardly changes it.",
    },
    Measure {
        report: "cost",
        name: "memory",
        title: "Most memory",
        unit: "MB",
        better: Better::Lower,
        visibility: Visibility::Table,
        map: Map::None,
        meaning: "The most memory that the training held at any time.",
    },
];

/// What is known of a measure.
pub(crate) fn measure(report: &str, name: &str) -> Option<&'static Measure> {
    MEASURES.iter().find(|about| about.report == report && about.name == name)
}

/// The name of a measure, as people read it.
pub(crate) fn title(report: &str, name: &str) -> String {
    measure(report, name).map_or_else(|| words(name), |about| about.title.to_owned())
}

/// Whether an entry is shown on a page.
pub(crate) fn is_shown(entry: &Entry) -> bool {
    measure(&entry.report, &entry.measure).is_none_or(|about| about.visibility != Visibility::Files)
}

/// What is said of a section.
pub(crate) fn section(name: &str) -> (String, &'static str) {
    let about = SECTIONS.iter().find(|about| about.name == name);
    about.map_or_else(|| (words(name), ""), |about| (about.title.to_owned(), about.lead))
}

/// The section that shows the numbers of a report.
pub(crate) fn home(report: &str) -> &str {
    let about = SECTIONS.iter().find(|about| about.reports.contains(&report));
    about.map_or(report, |about| about.name)
}

/// A name with spaces and a capital letter.
fn words(name: &str) -> String {
    let text = name.replace('_', " ");
    let mut letters = text.chars();
    letters.next().map_or_else(String::new, |first| first.to_uppercase().chain(letters).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_measure_has_a_section_and_is_said_once() {
        for (i, about) in MEASURES.iter().enumerate() {
            assert!(SECTIONS.iter().any(|s| s.reports.contains(&about.report)), "{about:?}");
            let same = |other: &Measure| (other.report, other.name) == (about.report, about.name);
            assert!(!MEASURES[..i].iter().any(same), "{about:?}");
        }
    }

    #[test]
    fn what_is_not_known_is_shown_by_its_name() {
        assert_eq!(title("new", "some_measure"), "Some measure");
        assert_eq!(section("new_report"), ("New report".to_owned(), ""));
        assert_eq!((home("new_report"), home("classifier")), ("new_report", "coherence"));
    }
}
