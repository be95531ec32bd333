"""Mattes of photos and videos with a trained model.

`protocols` says at which size a network sees a picture, `forward` shows it one, `tiles` shows a large one piece by piece,
`matter` is all that as one object (what `wsshm.load` returns). `inputs` finds photos and videos, `foreground` estimates
colours, `photos` and `video` write them, `run` is the command `wsshm predict`.
"""
