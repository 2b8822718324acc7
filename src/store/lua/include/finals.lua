-- Where final messages stand, by state. On its own, so that scripts which end nothing declare none of it.
local FINAL_KEY = { D = K.delivered, X = K.dead, E = K.expired, C = K.cancelled }
