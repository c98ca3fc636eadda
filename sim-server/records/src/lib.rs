//! The SQL database: users, tokens, devices, commands, alarms, audit
