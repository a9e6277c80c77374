"""The parts of ``scripts/ssh_board``: an ssh server whose logins land in an emulated board."""
