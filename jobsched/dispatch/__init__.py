"""From the board into the queues, and the sweep that puts right what dead processes left."""
