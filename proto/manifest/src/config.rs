//! The configuration of a plugin: defaults, overrides, and the schema that judges the result.

use jsonschema::{PatternOptions, Validator};
use serde_json::{Map, Value};

use crate::{manifest::Manifest, problem::PROBLEMS_MAX};

/// One thing that is wrong with a configuration, or with the schema that judges it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}: {problem}", if path.is_empty() { "top level" } else { path.as_str() })]
pub struct ConfigError {
    /// Where, as a JSON pointer such as `/retry/limit`; empty for the whole configuration.
    pub path: String,
    /// What is wrong.
    pub problem: String,
}

// === impl Manifest ===

impl Manifest {
    /// The defaults with other values on top: objects key by key, everything else as a whole.
    #[must_use]
    pub fn merge_config(&self, overrides: &Map<String, Value>) -> Map<String, Value> {
        let mut merged = self.config.clone();
        merge(&mut merged, overrides);
        merged
    }

    /// Judges a configuration by the manifest's schema. Without a schema everything will do.
    ///
    /// Patterns are matched in linear time, and nothing is fetched from elsewhere. What is not
    /// bounded is a schema whose references multiply (`allOf` of two references, to two each, and
    /// so on): call this where a long computation hurts nobody.
    ///
    /// # Errors
    /// What is wrong, each with its place; or that the schema itself is not one.
    pub fn check_config(&self, config: &Value) -> Result<(), Vec<ConfigError>> {
        let Some(schema) = &self.config_schema else { return Ok(()) };
        let validator = compile(schema).map_err(|error| vec![error])?;
        let errors: Vec<ConfigError> = validator
            .iter_errors(config)
            .take(PROBLEMS_MAX)
            .map(|error| ConfigError {
                path: error.instance_path().to_string(),
                problem: error.to_string(),
            })
            .collect();
        if errors.is_empty() { Ok(()) } else { Err(errors) }
    }
}

fn compile(schema: &Value) -> Result<Validator, ConfigError> {
    jsonschema::options()
        .with_pattern_options(PatternOptions::regex().size_limit(1 << 20).dfa_size_limit(1 << 20))
        .build(schema)
        .map_err(|error| ConfigError {
            path: String::new(),
            problem: format!("`config_schema` is not a JSON Schema: {error}"),
        })
}

fn merge(base: &mut Map<String, Value>, overrides: &Map<String, Value>) {
    for (key, value) in overrides {
        match (base.get_mut(key), value) {
            (Some(Value::Object(base)), Value::Object(value)) => merge(base, value),
            _ => {
                base.insert(key.clone(), value.clone());
            }
        }
    }
}
