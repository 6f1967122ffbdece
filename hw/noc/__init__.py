"""The mesh: flits, links, routers, local ports and the wiring between them (docs/noc.md)."""
