"""Paths of local attention behind one function, `mila.attention.local_attention`: fast ones, and a plain one."""
