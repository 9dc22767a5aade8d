"""Operations for audio-visual learning: each a reference in plain torch behind one public op."""
