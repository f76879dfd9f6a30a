import Appliance

await Tiankong.main()
