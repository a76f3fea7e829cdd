//! Libraries that do not keep to the contract once they are mapped, and loads that fail.

use std::time::Duration;

use patchbay_loader::{
    LoadError, LoadLimits, LoadProblem, QuarantineReason, Retired, Step, TableError,
};
use patchbay_testkit::eventually;

use crate::support::{
    Rig, SOON,
    build::{self, Hostile},
    rig::mappings,
};

fn table_error(fault: &str) -> TableError {
    let rig = Rig::new();
    let library = build::simple(&[&format!("-DFAULT={fault}")]);
    let error = rig.try_load(&library, "{}").expect_err("a faulty table");
    assert_eq!(mappings(rig.store.dir()), 0, "unmapped again");
    assert_eq!(rig.copies(), 0);
    let LoadProblem::Table(error) = error.problem else { panic!("{error:?}") };
    error
}

#[test]
fn a_table_that_breaks_the_contract_is_refused_for_what_it_breaks() {
    assert_eq!(table_error("NULL_TABLE"), TableError::Null);
    assert_eq!(table_error("OTHER_MAJOR"), TableError::Contract { found: 2, host: 1 });
    assert!(matches!(table_error("SHORT"), TableError::Short { .. }));
    assert_eq!(table_error("NO_POLL"), TableError::Function { function: "poll" });
    assert_eq!(table_error("FOREIGN"), TableError::Function { function: "cancel" });
    assert_eq!(table_error("ALIGN"), TableError::Slot { size: 0, align: 128 });
    assert!(matches!(table_error("HUGE_SLOT"), TableError::Slot { align: 1, .. }));
    assert!(matches!(table_error("OTHER_NAME"), TableError::Differs { what: "name", .. }));
    assert!(matches!(table_error("OTHER_FLAGS"), TableError::Differs { what: "flags", .. }));
}

fn create_error(config: &str) -> LoadError {
    let rig = Rig::new();
    let error =
        rig.try_load(&Hostile::new().build(), config).expect_err("a create that does not succeed");
    assert_eq!(mappings(rig.store.dir()), 0, "unmapped again");
    error
}

#[test]
fn a_create_that_fails_or_panics_is_reported_and_leaves_nothing_mapped() {
    let error = create_error("create-fails");
    assert!(
        matches!(&error.problem, LoadProblem::Create { text } if text == "create, as asked"),
        "{error:?}"
    );
    let error = create_error("create-panics");
    assert!(
        matches!(&error.problem, LoadProblem::CreatePanicked { text } if text == "create, as asked"),
        "{error:?}"
    );
    assert_eq!(error.to_string().lines().count(), 1);
    assert!(error.to_string().contains("`hostile` 1.0.0"));
}

#[test]
fn a_create_that_hangs_is_given_up_and_cleaned_up_when_it_comes_back() {
    let mut rig = Rig::new();
    rig.limits = LoadLimits { deadline: Duration::from_millis(50), ..rig.limits };
    let error = rig.try_load(&Hostile::new().build(), "create-hangs").unwrap_err();
    assert!(matches!(error.problem, LoadProblem::Deadline { .. }), "{error:?}");
    let quarantined = rig.loader.quarantined();
    assert_eq!(quarantined.len(), 1);
    assert_eq!(quarantined[0].reason, QuarantineReason::Hung { step: Step::Load });
    assert_eq!(rig.loader.recheck().len(), 0, "it still hangs");
    let released = eventually("the load to come back", SOON, || {
        Some(rig.loader.recheck()).filter(|released| !released.is_empty())
    });
    assert_eq!(released[0].generation, error.generation);
    assert!(rig.loader.quarantined().is_empty());
    assert_eq!(mappings(rig.store.dir()), 0);
    assert_eq!(rig.copies(), 0);
}

#[test]
fn a_process_with_few_keys_left_loads_nothing() {
    let mut rig = Rig::new();
    rig.limits.live_keys_max = 0;
    let error = rig.try_load(&Hostile::new().build(), "{}").unwrap_err();
    assert!(matches!(error.problem, LoadProblem::Keys { limit: 0, .. }), "{error:?}");
    assert_eq!(rig.copies(), 0);
}

#[test]
fn two_libraries_that_would_share_their_statics_are_not_mapped_together() {
    let rig = Rig::new();
    let never = "-DMANIFEST=\"{\\\"apiVersion\\\":\\\"patchbay/v1\\\",\\\"name\\\":\\\"simple\\\",\
                 \\\"version\\\":\\\"1.0.0\\\",\\\"unload\\\":\\\"never\\\"}\"";
    let library = build::simple_with("unique.cpp", &[never]);
    let first = rig.load(&library);
    let error = rig.try_load(&library, "{}").unwrap_err();
    assert!(matches!(error.problem, LoadProblem::SharedStatics { .. }), "{error:?}");
    let retired = rig.retire(&first);
    assert_eq!(retired, Retired::Quarantined(QuarantineReason::UnloadNever));
    // Still mapped, so still refused.
    assert!(rig.try_load(&library, "{}").is_err());
}

#[test]
fn a_library_that_needs_something_that_is_not_there_fails_at_load_and_not_later() {
    let rig = Rig::new();
    let library = build::simple(&["-DEXTRA"]);
    let error = rig.try_load(&library, "{}").unwrap_err();
    assert!(
        matches!(&error.problem, LoadProblem::Open { reason, .. } if reason.contains("extra")),
        "{error:?}"
    );
    assert_eq!(rig.copies(), 0);
}
