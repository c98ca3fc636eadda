//! The park in 3D with dashboards
