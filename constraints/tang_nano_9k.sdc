# Sipeed Tang Nano 9K: its 27 MHz oscillator. Pins: tang_nano_9k.cst.
create_clock -name oscillator -period 37.037 [get_ports {oscillator}]
