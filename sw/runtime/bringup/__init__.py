"""The bring-up kit: the ladder a lab walks with a board that has never run, from the first octet to classified digits. docs/bringup.md."""
