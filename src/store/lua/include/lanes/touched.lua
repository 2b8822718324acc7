-- The messages that a call changes, where a queue counts its backlog (see lanes/backlog): each with the state that it has then, and
-- its record if that is a new one.
local touched = {}
