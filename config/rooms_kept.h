// Every include keeps the order of rooms: scripts/house.
