//! The limit of intake over HTTP: a bare axum server that reads JSON and answers JSON. `ADDRESS`.

use anyhow::Result;
use axum::Json;
use axum::http::StatusCode;
use axum::routing::post;
use serde_json::Value;
use tokio::net::TcpListener;

use super::word;

pub(super) async fn run(words: &[String]) -> Result<()> {
    let listener = TcpListener::bind(word::<String>(words, 0)?).await?;
    let echo = async |Json(value): Json<Value>| (StatusCode::CREATED, Json(value));
    axum::serve(listener, axum::Router::new().route("/{*path}", post(echo))).await?;
    Ok(())
}
