"""One file per figure: `data(...)` says what is shown (a frame that is stored beside it), `draw(data)` draws it."""
