//! REST, WebSocket, OpenAPI, authentication
