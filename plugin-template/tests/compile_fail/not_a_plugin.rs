struct NotAPlugin;

patchbay_plugin::export_plugin!(NotAPlugin, manifest: r#"{"name": "a", "version": "1.0.0"}"#);

fn main() {}
