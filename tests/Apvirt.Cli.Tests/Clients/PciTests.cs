namespace Apvirt.Cli.Tests.Clients;

/// <summary>Tools that know PCI and mediated devices, on a host with PCI functions and a graphics adapter.</summary>
public sealed class PciTests
{
    private static string Host => Clients.Example("three-consumers.yaml");

    [Fact]
    public void Lspci_lists_the_functions_with_slots_drivers_and_groups()
    {
        Assert.SkipUnless(File.Exists("/usr/bin/lspci"), "needs pciutils");
        (int status, string output, _) = Clients.Shell(Host, "lspci -n; lspci -vvn -s 1000:00:00.0");
        Assert.Equal(0, status);
        Assert.StartsWith("1000:00:00.0 0200: 15b3:1016\n1001:00:00.0 0108: 144d:a808\n2000:00:00.0 0300: 8086:3e92\n", output, StringComparison.Ordinal);
        Assert.Contains("Subsystem: 15b3:0059", output, StringComparison.Ordinal);
        Assert.Contains("Physical Slot: 00000104", output, StringComparison.Ordinal);
        Assert.Contains("IOMMU group: 0", output, StringComparison.Ordinal);
        Assert.Contains("Kernel driver in use: vfio-pci", output, StringComparison.Ordinal);
    }

    [Fact]
    public void Mdevctl_makes_and_removes_a_vgpu()
    {
        Assert.SkipUnless(File.Exists("/usr/sbin/mdevctl") || File.Exists("/usr/bin/mdevctl"), "needs mdevctl");
        (int status, string output, string error) = Clients.Shell(Host, """
            mount -t tmpfs none /etc/mdevctl.d; mkdir -p /etc/mdevctl.d/scripts.d/callouts /etc/mdevctl.d/scripts.d/notifiers
            u=33333333-3333-4333-8333-333333333333
            mdevctl types -p 2000:00:00.0 | grep -v '^$'
            mdevctl start -u $u -p 2000:00:00.0 -t i915-GVTg_V5_4 && cat /sys/bus/mdev/devices/$u/mdev_type/available_instances
            mdevctl stop -u $u && ls /sys/bus/mdev/devices | wc -l
            """);
        Assert.Equal((0, ""), (status, error));
        Assert.Equal("2000:00:00.0\n  i915-GVTg_V5_4\n    Available instances: 3\n    Device API: vfio-pci\n    Name: GVTg_V5_4\n2\n2\n", output);
    }

    // What an administrator types, or driverctl.
    [Fact]
    public void A_function_goes_from_its_guest_to_the_host_and_back()
    {
        (int status, string output, string error) = Clients.Shell(Host, """
            f=1000:00:00.0; d=/sys/bus/pci/devices/$f
            echo $f > $d/driver/unbind
            echo > $d/driver_override
            # The unbinding waits for the guest to close the device. The file of its group it closes a moment later, and until then
            # no driver of the host may have the function.
            for i in $(seq 50); do [ -e $d/driver ] && break; echo $f > /sys/bus/pci/drivers_probe; sleep 0.1; done
            basename $(readlink $d/driver)
            echo vfio-pci > $d/driver_override
            echo $f > $d/driver/unbind
            echo $f > /sys/bus/pci/drivers_probe
            basename $(readlink $d/driver); ls $d/vfio-dev /sys/class/vfio
            echo 0 > /sys/bus/pci/slots/00000104/power; test -e $d || echo gone
            echo 2 > /sys/bus/pci/slots/00000104/power
            """);
        Assert.Equal("mlx5_core\nvfio-pci\n/sys/bus/pci/devices/1000:00:00.0/vfio-dev:\nvfio0\n\n/sys/class/vfio:\n0\n1\n3\n4\ngone\n", output);
        Assert.Contains("Invalid argument", error, StringComparison.Ordinal);
        Assert.Equal(1, status);
    }
}
