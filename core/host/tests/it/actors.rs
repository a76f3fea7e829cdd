//! Rules that the actors keep.

use std::{fs, path::Path};

/// The framework's default stops an actor when a child of it ends, even in good order.
#[test]
fn every_actor_says_itself_what_follows_the_end_of_a_child() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/actors");
    let mut actors = 0;
    for entry in fs::read_dir(folder).expect("the folder of the actors") {
        let path = entry.expect("an entry").path();
        let text = fs::read_to_string(&path).expect("a source file");
        let here = text.matches("\nimpl Actor for ").count();
        let answers = text.matches("async fn handle_supervisor_evt(").count();
        assert_eq!(here, answers, "{}", path.display());
        actors += here;
    }
    assert_eq!(actors, 5, "root, registry, plugin, watcher, health");
}
