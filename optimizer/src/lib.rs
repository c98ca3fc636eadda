//! Decisions as mathematics: the dispatch LP and MILP
